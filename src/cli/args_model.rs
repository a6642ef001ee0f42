//! What can be typed about models.

use std::ffi::OsString;

use clap::Args as ClapArgs;

use super::Complaint;
use crate::sandbox::hub::Faults;

/// The sandbox's model hub.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct HubFlags {
    /// Also start a model hub, for HF_ENDPOINT
    #[arg(long)]
    pub hub: bool,
    /// Let the hub go wrong: reset=SIZE, close=SIZE, stalls=N, rate=SIZE, limited=DUR, unavailable=N, links=DUR,
    /// error-pages=N, flips=N, no-ranges, page=N (repeatable)
    #[arg(long, value_name = "FAULT", requires = "hub")]
    pub hub_fault: Vec<String>,
}

impl HubFlags {
    /// `None` without a hub.
    pub fn faults(&self) -> Result<Option<Faults>, Complaint> {
        if !self.hub {
            return Ok(None);
        }
        let mut faults = Faults::default();
        for text in &self.hub_fault {
            faults.add(text).map_err(|error| Complaint::usage(error.to_string()))?;
        }
        Ok(Some(faults))
    }

    /// The same, as words to be typed.
    pub fn words(&self) -> Vec<OsString> {
        let hub = self.hub.then(|| OsString::from("--hub"));
        let faults = self.hub_fault.iter().flat_map(|fault| ["--hub-fault".into(), OsString::from(fault)]);
        hub.into_iter().chain(faults).collect()
    }
}
