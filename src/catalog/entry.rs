//! `worker.toml`: a worker's entry, read strictly. A new key is a line in [`KEYS`] and a field in [`WorkerMeta`].

use std::time::Duration;

use super::{
    CatalogError,
    offer::Offer,
    reader::{At, Key, Text},
};
use crate::vocab::{Accelerator, Digest, Launch, Needs, Prebuilt, Sigstore, WorkerId, WorkerMeta};

pub(super) const ACCELERATORS: [Accelerator; 4] =
    [Accelerator::Cpu, Accelerator::Cuda, Accelerator::Metal, Accelerator::Rocm];
const CPU_LEVELS: [&str; 4] = ["x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"];
const PLATFORMS: [&str; 2] = ["linux", "macos"];
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// What is said of a worker: what is gone by, and what is only told.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub worker: WorkerMeta,
    pub offer: Offer,
}

/// All keys, in the order in which they are read.
const KEYS: &[Key<Entry>] = &[
    // It was read before the others.
    Key { name: "id", read: |_, _| Ok(()) },
    Key { name: "name", read: |e, at| at.text().map(|text| e.worker.name = text) },
    Key { name: "description", read: |e, at| at.text().map(|text| e.worker.description = text) },
    Key {
        name: "accelerator",
        read: |e, at| {
            let place = at.one_of(&ACCELERATORS.map(Accelerator::as_str))?;
            e.worker.accelerator = ACCELERATORS[place];
            e.worker.family = family_of(&e.worker.id, e.worker.accelerator);
            Ok(())
        },
    },
    Key { name: "family", read: |e, at| at.id().map(|id| e.worker.family = id.as_str().to_owned()) },
    Key { name: "platforms", read: |e, at| at.subset(&PLATFORMS).map(|list| e.worker.platforms = list) },
    Key { name: "architectures", read: |e, at| at.subset(&ARCHITECTURES).map(|list| e.worker.architectures = list) },
    Key { name: "license", read: |e, at| at.text().map(|text| e.worker.license = text) },
    Key {
        name: "limit",
        read: |e, at| {
            e.worker.limit = Some(at.parsed(duration_of, "a time like \"90s\", \"20m\" or \"1h\"")?);
            Ok(())
        },
    },
    Key { name: "verify", read: |e, at| at.list().map(|list| e.worker.verify = list) },
    Key { name: "smoke", read: |e, at| at.text().map(|text| e.worker.smoke = Some(text)) },
    Key {
        name: "cpu_level",
        read: |e, at| {
            let place = at.one_of(&CPU_LEVELS)?;
            e.worker.cpu_level = u8::try_from(place + 1).ok();
            Ok(())
        },
    },
    Key { name: "entry", read: |e, at| at.text().map(|text| e.worker.entry = Some(text)) },
    Key {
        name: "prebuilt",
        read: |e, at| {
            let mut prebuilt = Prebuilt::default();
            at.section(PREBUILT, &mut prebuilt)?;
            if prebuilt.url.is_empty() {
                return Err(at.wrong("\"prebuilt\" has no url"));
            }
            e.worker.prebuilt = Some(prebuilt);
            Ok(())
        },
    },
    Key {
        name: "run",
        read: |e, at| {
            let mut launch = Launch::default();
            at.section(RUN, &mut launch)?;
            e.worker.run = Some(launch);
            Ok(())
        },
    },
    Key { name: "features", read: |e, at| at.list().map(|list| e.worker.features = list) },
    Key { name: "needs", read: |e, at| at.section(NEEDS, &mut e.worker.needs) },
    Key { name: "mirrors", read: |e, at| at.mirrors().map(|mirrors| e.worker.mirrors = mirrors) },
    Key { name: "submodules", read: |e, at| at.flag().map(|flag| e.worker.submodules = flag) },
    Key { name: "implementation", read: |e, at| at.text().map(|text| e.offer.implementation = Some(text)) },
    Key { name: "build_system", read: |e, at| at.text().map(|text| e.offer.build_system = Some(text)) },
    Key { name: "binary_name", read: |e, at| at.text().map(|text| e.offer.binary_name = Some(text)) },
    Key { name: "supported_formats", read: |e, at| at.list().map(|list| e.offer.supported_formats = list) },
    Key { name: "max_context_length", read: |e, at| at.number().map(|n| e.offer.max_context_length = Some(n)) },
    Key { name: "supports_streaming", read: |e, at| at.flag().map(|flag| e.offer.supports_streaming = Some(flag)) },
    Key { name: "supports_batching", read: |e, at| at.flag().map(|flag| e.offer.supports_batching = Some(flag)) },
];

const SIZE: &str = "a size like \"2 GB\" or \"512 MB\"";
const NEEDS: &[Key<Needs>] = &[
    Key { name: "disk", read: |needs, at| at.parsed(bytes_of, SIZE).map(|size| needs.disk = size) },
    Key { name: "memory", read: |needs, at| at.parsed(bytes_of, SIZE).map(|size| needs.memory = size) },
    Key { name: "tools", read: |needs, at| at.list().map(|list| needs.tools = list) },
];

const URL: &str = "an address with http or https, in which {name}, {family}, {version}, {os}, {arch} and {accelerator} \
                   may stand";
const PREBUILT: &[Key<Prebuilt>] = &[
    Key { name: "url", read: |p, at| at.parsed(template, URL).map(|url| p.url = url) },
    Key {
        name: "sha256",
        read: |p, at| {
            let sums = at.pairs()?.into_iter().map(|(machine, sum)| match Digest::parse(&sum) {
                Ok(sum) => Ok((machine, sum)),
                Err(error) => Err(at.wrong(error.to_string())),
            });
            p.sha256 = sums.collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Key { name: "sha256_url", read: |p, at| at.parsed(template, URL).map(|url| p.sha256_url = Some(url)) },
    Key { name: "minisign", read: |p, at| at.text().map(|key| p.minisign = Some(key)) },
    Key {
        name: "sigstore",
        read: |p, at| {
            let mut signer = Sigstore::default();
            at.section(SIGSTORE, &mut signer)?;
            if signer.identity.is_empty() || signer.issuer.is_empty() {
                return Err(at.wrong("\"sigstore\" needs an identity and an issuer"));
            }
            p.sigstore = Some(signer);
            Ok(())
        },
    },
    Key { name: "version", read: |p, at| at.text().map(|text| p.version = Some(text)) },
    Key { name: "os", read: |p, at| at.pairs().map(|names| p.os = names) },
    Key { name: "arch", read: |p, at| at.pairs().map(|names| p.arch = names) },
    Key { name: "accelerator", read: |p, at| at.pairs().map(|names| p.accelerator = names) },
    Key { name: "strip", read: |p, at| at.number().map(|folders| p.strip = Some(folders.min(40))) },
];

const SIGSTORE: &[Key<Sigstore>] = &[
    Key { name: "identity", read: |s, at| at.text().map(|text| s.identity = text) },
    Key { name: "issuer", read: |s, at| at.text().map(|text| s.issuer = text) },
    Key { name: "root", read: |s, at| at.text().map(|text| s.root = Some(text)) },
];

const PATH: &str = "a path that begins with /";
const VARIABLE: &str = "the name of a variable";
const RUN: &[Key<Launch>] = &[
    Key { name: "args", read: |run, at| words(at).map(|list| run.args = list) },
    Key { name: "model", read: |run, at| words(at).map(|list| run.model = list) },
    Key { name: "model_needed", read: |run, at| at.flag().map(|flag| run.model_needed = flag) },
    Key { name: "device", read: |run, at| words(at).map(|list| run.device = list) },
    Key { name: "api_key", read: |run, at| words(at).map(|list| run.api_key = list) },
    Key { name: "api_key_env", read: |run, at| at.parsed(variable, VARIABLE).map(|name| run.api_key_env = Some(name)) },
    Key { name: "health", read: |run, at| at.parsed(path, PATH).map(|path| run.health = path) },
];

/// What may stand in braces in the words of a start.
const PLACES: [&str; 8] =
    ["{id}", "{model}", "{model_ref}", "{bind}", "{port}", "{device}", "{device_index}", "{api_key_file}"];

/// Words in which all that stands in braces is known.
fn words(at: At<'_>) -> Result<Vec<String>, CatalogError> {
    let list = at.list()?;
    for word in &list {
        let rest = PLACES.iter().fold(word.clone(), |rest, place| rest.replace(place, ""));
        if rest.contains(['{', '}']) {
            return Err(at.wrong(format!("{word:?} has braces around none of {}", PLACES.join(" "))));
        }
    }
    Ok(list)
}

fn path(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    (text.starts_with('/') && text.bytes().all(plain)).then(|| text.to_owned())
}

fn variable(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let begins = text.as_bytes().first().is_some_and(|b| !b.is_ascii_digit());
    (begins && text.len() < 100 && text.bytes().all(plain)).then(|| text.to_owned())
}

/// An address whose words in braces are all known.
fn template(text: &str) -> Option<String> {
    let mut rest = text.to_owned();
    for word in ["{name}", "{family}", "{version}", "{os}", "{arch}", "{accelerator}"] {
        rest = rest.replace(word, "");
    }
    let address = rest.strip_prefix("https://").or_else(|| rest.strip_prefix("http://"))?;
    let plain = !address.is_empty() && !address.starts_with('/') && address.bytes().all(|b| b.is_ascii_graphic());
    (plain && !rest.contains(['{', '}', '"', '\\'])).then(|| text.to_owned())
}

/// Reads an entry; `file` is what errors call it, `id` is asked for when the entry does not say its own.
///
/// An empty text is an entry of nothing but defaults: any machine, on its CPU.
///
/// # Errors
/// [`CatalogError::Entry`] with the line of the first thing that is wrong or unknown.
pub fn parse_entry(
    file: &str,
    text: &str,
    id: impl FnOnce() -> Result<WorkerId, CatalogError>,
) -> Result<Entry, CatalogError> {
    let text = Text { file, text };
    let document = text.parse()?;
    let table = document.get_ref();
    let id = text.at(table, "id").map_or_else(id, |at| at.id())?;
    let mut worker = WorkerMeta::new(id);
    worker.family = family_of(&worker.id, worker.accelerator);
    over(&text, Entry { worker, offer: Offer::default() })
}

/// What an entry's text says over what is known of its worker already; the id stays.
///
/// # Errors
/// As [`parse_entry`].
pub(super) fn amend(file: &str, text: &str, entry: Entry) -> Result<Entry, CatalogError> {
    over(&Text { file, text }, entry)
}

fn over(text: &Text<'_>, mut entry: Entry) -> Result<Entry, CatalogError> {
    let document = text.parse()?;
    text.fill(document.get_ref(), KEYS, "", &mut entry)?;
    Ok(entry)
}

/// The id without its accelerator.
pub(super) fn family_of(id: &WorkerId, accelerator: Accelerator) -> String {
    let suffix = format!("-{accelerator}");
    id.as_str().strip_suffix(&suffix).filter(|rest| !rest.is_empty()).unwrap_or(id.as_str()).to_owned()
}

/// Splits "1.5 GB" into its number and its unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

fn bytes_of(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes < 1e18).then_some(bytes as u64)
}

fn duration_of(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number * factor;
    (seconds > 0.0 && seconds <= 7.0 * 86_400.0).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<WorkerMeta, String> {
        let id = WorkerId::new("my-worker-cuda").unwrap();
        parse_entry("x/worker.toml", text, || Ok(id)).map(|entry| entry.worker).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_means_the_cpu_of_any_machine() {
        let meta = read("").unwrap();
        assert_eq!((meta.id.as_str(), meta.family.as_str()), ("my-worker-cuda", "my-worker-cuda"));
        assert_eq!((meta.accelerator, meta.platforms.len(), meta.architectures.len()), (Accelerator::Cpu, 2, 2));
        assert_eq!((meta.verify, meta.limit), (vec!["--version".to_owned()], None));
        assert_eq!(read("accelerator = 'cuda'").unwrap().family, "my-worker");
    }

    #[test]
    fn everything_can_be_said() {
        let meta = read(
            "id = 'other'\nfamily = 'fam'\nname = 'N'\nlimit = '1.5h'\nverify = ['-V']\nfeatures = ['a', 'b']\n\
             platforms = ['macos']\nsubmodules = true\n\
             mirrors = { 'https://a/' = ['https://b/', 'file:///c/'], 'http://d/' = 'https://d/' }\n\
             [needs]\ndisk = '1.5 GB'\nmemory = '512 MiB'\ntools = ['cmake>=3.14']\n",
        )
        .unwrap();
        assert_eq!((meta.id.as_str(), meta.family.as_str(), meta.name.as_str()), ("other", "fam", "N"));
        assert_eq!(meta.limit, Some(Duration::from_secs(5400)));
        let more = read("smoke = '$RBEE_PROGRAM -n 1'\ncpu_level = 'x86-64-v3'").unwrap();
        assert_eq!((more.smoke.as_deref(), more.cpu_level), (Some("$RBEE_PROGRAM -n 1"), Some(3)));
        assert!(read("cpu_level = 'v5'").is_err());
        assert_eq!((meta.needs.disk, meta.needs.memory), (1_500_000_000, 512 << 20));
        let mirrors: Vec<_> = meta.mirrors.iter().map(ToString::to_string).collect();
        assert_eq!(mirrors, ["https://a/=https://b/", "https://a/=file:///c/", "http://d/=https://d/"]);
        assert!(meta.submodules);
        assert_eq!((meta.platforms, meta.features), (vec!["macos".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn what_is_only_told_is_typed_too() {
        let text = "implementation = 'cpp'\nsupported_formats = ['gguf']\nmax_context_length = 0x10\nsupports_batching = false";
        let offer = parse_entry("w", text, || Ok(WorkerId::new("w").unwrap())).unwrap().offer;
        assert_eq!((offer.implementation.as_deref(), offer.max_context_length), (Some("cpp"), Some(16)));
        assert_eq!((offer.supports_batching, offer.supports_streaming), (Some(false), None));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            (
                "name = 'x'\nacelerator = 'cpu'",
                "x/worker.toml:2: unknown key \"acelerator\"; did you mean \"accelerator\"?",
            ),
            ("[needs]\ntool = []", "x/worker.toml:2: unknown key \"needs.tool\"; did you mean \"tools\"?"),
            ("\n\naccelerator = 'coda'", ":3: \"coda\" is none of cpu, cuda, metal, rocm; did you mean \"cuda\"?"),
            ("platforms = [\n'linux',\n'windows']", ":3: \"windows\" is none of linux, macos"),
            ("id = '../../etc'", ":1: worker id \"../../etc\""),
            ("family = 'A b'", ":1: worker id \"A b\""),
            ("limit = '20 minutes'", ":1: limit = \"20 minutes\" is not a time"),
            ("limit = '-1s'", "is not a time"),
            ("[needs]\ndisk = 'much'", ":2: disk = \"much\" is not a size"),
            ("needs = 1", ":1: \"needs\" is not a table"),
            ("name = 3", ":1: expected a string"),
            ("name = \"\\u001b[31m\"", ":1: control characters are not allowed"),
            ("verify = '--version'", ":1: \"verify\" is not a list"),
            ("submodules = 'yes'", ":1: \"submodules\" is neither true nor false"),
            ("mirrors = 'https://a/'", ":1: \"mirrors\" is not a table of URLs"),
            (
                "[mirrors]\n'https://a/' = ['https://b/',\n'http://b/']",
                ":3: \"https://a/\" would be asked for without TLS",
            ),
            ("[mirrors]\n'https://a/' = 3", ":2: \"https://a/\" is not a list of strings"),
            ("name = 'x'\nname = 'y'", ":2: "),
            ("name = 'x'\nname", ":2: "),
            ("max_context_length = -1", "\"max_context_length\" is not a whole number"),
            ("max_context_length = 99999999999999999999", "is not a whole number"),
            ("supports_streaming = 'yes'", "is neither true nor false"),
            ("[run]\nargs = ['--port', '{prot}']", ":2: \"{prot}\" has braces around none of {id} {model}"),
            ("[run]\nhealth = 'health'", ":2: health = \"health\" is not a path"),
            ("[run]\napi_key_env = 'a b'", "is not the name of a variable"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|[a-z=\\[\\]'\"\\n .0-9{},]{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn no_entry_panics(key in "[a-z]{1,8}|limit|disk|platforms", value in "\\PC{0,20}|[0-9.]{1,30} ?[sGBkm]{0,3}") {
            let _ = read(&format!("{key} = {value}"));
            let _ = read(&format!("{key} = '{value}'"));
            let _ = read(&format!("[needs]\n{key} = ['{value}']"));
        }
    }
}
