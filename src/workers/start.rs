//! From a worker's template and what is asked to the words it is started with.

use std::net::IpAddr;

use crate::vocab::{Launch, SpawnId};

/// What the words in braces stand for.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    pub id: &'a SpawnId,
    /// The path, and what was asked for.
    pub model: Option<(&'a str, &'a str)>,
    pub bind: IpAddr,
    pub port: u16,
    pub device: Option<&'a str>,
    /// The path of a file with API keys.
    pub api_key_file: Option<&'a str>,
    /// Given behind all others, as they are.
    pub more: &'a [String],
}

/// The arguments of the program.
///
/// # Errors
/// A sentence about what this worker cannot be asked.
pub fn arguments(launch: &Launch, values: &Values<'_>) -> Result<Vec<String>, String> {
    let mut groups = vec![&launch.args];
    if !launch.binds() && !values.bind.is_unspecified() {
        return Err(format!(
            "it listens on every address and cannot be told to listen on {} only; --bind 0.0.0.0 says that this is meant",
            values.bind
        ));
    }
    match values.model {
        Some(_) if launch.model.is_empty() => return Err("it takes no model".into()),
        Some(_) => groups.push(&launch.model),
        None if launch.model_needed => return Err("it does not start without a model".into()),
        None => {}
    }
    if let Some(device) = values.device {
        if launch.device.is_empty() {
            return Err(format!("it cannot be told a device, such as {device}"));
        }
        if launch.device.iter().any(|word| word.contains("{device_index}")) && index(device).is_none() {
            return Err(format!("--device {device} has no number; write it as cuda:0"));
        }
        groups.push(&launch.device);
    }
    if values.api_key_file.is_some() {
        if launch.api_key.is_empty() && launch.api_key_env.is_none() {
            return Err("it knows no API keys".into());
        }
        groups.push(&launch.api_key);
    }
    let words = groups.into_iter().flatten().map(|word| fill(word, values));
    Ok(words.chain(values.more.iter().cloned()).collect())
}

/// The number of a device: 1 of "cuda:1" and of "CUDA1".
fn index(device: &str) -> Option<&str> {
    let letters = device.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(&device[letters.len()..]).filter(|digits| !digits.is_empty())
}

/// Fills one word in one go, so that nothing is filled in what was filled in.
fn fill(word: &str, values: &Values<'_>) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = behind.split_once('}') else {
            return filled + "{" + behind;
        };
        filled.push_str(&match name {
            "id" => values.id.to_string(),
            "model" => values.model.map_or("", |(path, _)| path).to_owned(),
            "model_ref" => values.model.map_or("", |(_, asked)| asked).to_owned(),
            "bind" => values.bind.to_string(),
            "port" => values.port.to_string(),
            "device" => values.device.unwrap_or_default().to_owned(),
            "device_index" => values.device.and_then(index).unwrap_or_default().to_owned(),
            "api_key_file" => values.api_key_file.unwrap_or_default().to_owned(),
            other => format!("{{{other}}}"),
        });
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Catalog, CatalogSource},
        vocab::WorkerId,
    };

    /// How the built-in catalog starts a worker that is asked for all it can be asked.
    fn line(worker: &str, change: impl FnOnce(&mut Values<'_>)) -> Result<String, String> {
        let catalog = Catalog::open(&[CatalogSource::BuiltIn]).unwrap();
        let worker = WorkerId::new(worker).unwrap();
        let launch = catalog.list().find(|listed| listed.worker.id == worker).unwrap().worker.run.clone().unwrap();
        let (id, more) = (SpawnId::of(0xbee), ["--verbose".to_owned()]);
        let mut values = Values {
            id: &id,
            model: Some(("/m/it's {port}.gguf", "org/repo")),
            bind: "127.0.0.1".parse().unwrap(),
            port: 7855,
            device: None,
            api_key_file: None,
            more: &more,
        };
        change(&mut values);
        arguments(&launch, &values).map(|words| words.join("|"))
    }

    /// What `llama-server --help` of llama.cpp offers.
    #[test]
    fn llama_server_is_started_as_it_wants_to_be() {
        for worker in ["llama-server-cpu", "llama-server-metal"] {
            let said = line(worker, |values| values.api_key_file = Some("/s/key")).unwrap();
            let want = "--host|127.0.0.1|--port|7855|--model|/m/it's {port}.gguf|--api-key-file|/s/key|--verbose";
            assert_eq!(said, want);
            assert!(
                line(worker, |values| values.device = Some("cuda:0")).unwrap_err().contains("cannot be told a device")
            );
            assert!(line(worker, |values| values.model = None).unwrap_err().contains("without a model"));
        }
        let said = line("llama-server-cuda", |values| values.device = Some("cuda:1")).unwrap();
        assert!(said.ends_with("|--device|CUDA1|--verbose"), "{said}");
        assert!(line("llama-server-cuda", |values| values.device = Some("cuda")).unwrap_err().contains("no number"));
    }

    /// What the programs' own arguments are, each of the three.
    #[test]
    fn llm_worker_rbee_is_started_as_it_wants_to_be() {
        let everywhere = |values: &mut Values<'_>| values.bind = "0.0.0.0".parse().unwrap();
        let head = "--worker-id|w00000bee|--port|7855|--hive-url|http://127.0.0.1:7835|--model|/m/it's {port}.gguf";
        let said = line("llm-worker-rbee-cpu", everywhere).unwrap();
        assert_eq!(said, format!("{head}|--model-ref|org/repo|--verbose"));
        let cuda = |values: &mut Values<'_>| (everywhere(values), values.device = Some("cuda:1")).1;
        assert_eq!(line("llm-worker-rbee-cuda", cuda).unwrap(), format!("{head}|--cuda-device|1|--verbose"));
        let metal = |values: &mut Values<'_>| (everywhere(values), values.device = Some("metal:0")).1;
        assert_eq!(line("llm-worker-rbee-metal", metal).unwrap(), format!("{head}|--metal-device|0|--verbose"));
        // Its key comes in a variable, so that it is in no word.
        let key = |values: &mut Values<'_>| (everywhere(values), values.api_key_file = Some("/s/key")).1;
        assert!(!line("llm-worker-rbee-cpu", key).unwrap().contains("key"));
        // Whoever asked for loopback does not get all the world.
        assert!(line("llm-worker-rbee-cpu", |_| ()).unwrap_err().contains("every address"));
    }

    #[test]
    fn echo_worker_is_started_as_it_wants_to_be() {
        let said = line("echo-worker", |_| ()).unwrap();
        assert_eq!(said, "--host|127.0.0.1|--port|7855|--model|/m/it's {port}.gguf|--verbose");
        let said = line("echo-worker", |values| (values.model, values.bind) = (None, "::1".parse().unwrap())).unwrap();
        assert_eq!(said, "--host|::1|--port|7855|--verbose");
        assert!(line("echo-worker", |values| values.api_key_file = Some("/k")).unwrap_err().contains("no API keys"));
    }
}
