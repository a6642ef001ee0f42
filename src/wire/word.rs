//! The closed sets of words: written as their published spelling, read back from it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::vocab::{CancelStage, ExitCode, Level, Origin, Outcome, Phase, Reason, Stream, Unit};

/// A value that the wire knows by a published word.
pub trait Spelled: Copy + 'static {
    /// For errors: "outcome", "phase".
    const WHAT: &'static str;
    const ALL: &'static [Self];

    fn spelling(self) -> &'static str;
}

/// Puts a [`Spelled`] value on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: Spelled> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.spelling())
    }
}

impl<'de, T: Spelled> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let found = T::ALL.iter().find(|value| value.spelling() == word);
        found.map(|value| Self(*value)).ok_or_else(|| D::Error::custom(format!("unknown {} {word:?}", T::WHAT)))
    }
}

/// Lists the variants once; the match in it fails to compile when one is missing.
macro_rules! spelled {
    ($($type:ident, $what:literal: $($variant:ident)*;)*) => {$(
        impl Spelled for $type {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn spelling(self) -> &'static str {
                match self {
                    $(Self::$variant => self.as_str(),)*
                }
            }
        }
    )*};
}

spelled! {
    Phase, "phase": Connect Preflight Fetch Build Package Transfer Install Verify Run Model;
    Stream, "stream": Stdout Stderr;
    Level, "level": Info Warning Error;
    Unit, "unit": Bytes Items Units Percent;
    Origin, "source": Hub Controller;
    CancelStage, "stage": Asked Term Kill Confirmed Unconfirmed;
    Outcome, "outcome": Changed Unchanged Failed Unreachable Skipped Refused Cancelled;
    Reason, "reason": Timeout Auth HostKey Connect Preflight Fetch Build Package Transfer Install Verify RolledBack Lost
        Locked Status Optional Asked Sibling Deadline Unconfirmed Internal;
}

/// Writes an exit status as its number.
pub(super) mod exit {
    use super::*;

    const ALL: [ExitCode; 12] = [
        ExitCode::Ok,
        ExitCode::Failed,
        ExitCode::Usage,
        ExitCode::NoHosts,
        ExitCode::Unreachable,
        ExitCode::Refused,
        ExitCode::Unconfirmed,
        ExitCode::Changes,
        ExitCode::Bug,
        ExitCode::Deadline,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];

    pub(in crate::wire) fn serialize<S: Serializer>(exit: &ExitCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(exit.code())
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ExitCode, D::Error> {
        let code = u8::deserialize(deserializer)?;
        let found = ALL.into_iter().find(|exit| exit.code() == code);
        found.ok_or_else(|| D::Error::custom(format!("unknown exit status {code}")))
    }
}
