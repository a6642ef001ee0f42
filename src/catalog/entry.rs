//! `worker.toml`: a worker's entry, read strictly.

use std::{borrow::Cow, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{CatalogError, error::nearest};
use crate::vocab::{Accelerator, Needs, WorkerId, WorkerMeta};

const KEYS: [&str; 13] = [
    "id",
    "family",
    "name",
    "description",
    "accelerator",
    "platforms",
    "architectures",
    "license",
    "limit",
    "verify",
    "entry",
    "features",
    "needs",
];
const NEEDS: [&str; 3] = ["disk", "memory", "tools"];
const ACCELERATORS: [Accelerator; 4] = [Accelerator::Cpu, Accelerator::Cuda, Accelerator::Metal, Accelerator::Rocm];
const PLATFORMS: [&str; 2] = ["linux", "macos"];
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
/// More than any of the texts of an entry needs.
const TEXT_BYTES: usize = 1000;
const LIST_ITEMS: usize = 64;

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
) -> Result<WorkerMeta, CatalogError> {
    let reader = Reader { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        reader.wrong(at, error.message().lines().collect::<Vec<_>>().join(" "))
    })?;
    let table = Section { reader: &reader, table: document.get_ref() };
    table.only(&KEYS, "")?;

    let id = match table.at("id") {
        Some(value) => {
            let said = reader.string(value)?;
            WorkerId::new(&said).map_err(|error| reader.wrong(value.span().start, error.to_string()))?
        }
        None => id()?,
    };
    let accelerator = match table.at("accelerator") {
        Some(value) => {
            let name = reader.string(value)?;
            let known = ACCELERATORS.map(Accelerator::as_str);
            let place = reader.one_of(&name, &known, value.span().start)?;
            ACCELERATORS[place]
        }
        None => Accelerator::Cpu,
    };
    let family = match table.at("family") {
        Some(value) => {
            let said = reader.string(value)?;
            let family = WorkerId::new(&said).map_err(|error| reader.wrong(value.span().start, error.to_string()))?;
            family.as_str().to_owned()
        }
        None => {
            let suffix = format!("-{accelerator}");
            id.as_str().strip_suffix(&suffix).filter(|rest| !rest.is_empty()).unwrap_or(id.as_str()).to_owned()
        }
    };
    let needs = match table.at("needs") {
        Some(value) => {
            let Some(inner) = value.get_ref().as_table() else {
                return Err(reader.wrong(value.span().start, "\"needs\" is not a table".to_owned()));
            };
            let needs = Section { reader: &reader, table: inner };
            needs.only(&NEEDS, "needs.")?;
            Needs {
                disk: needs.parsed("disk", bytes_of, "a size like \"2 GB\"")?.unwrap_or(0),
                memory: needs.parsed("memory", bytes_of, "a size like \"512 MB\"")?.unwrap_or(0),
                tools: needs.list("tools")?.unwrap_or_default(),
            }
        }
        None => Needs::default(),
    };
    Ok(WorkerMeta {
        family,
        name: table.text("name")?.unwrap_or_else(|| id.as_str().to_owned()),
        description: table.text("description")?.unwrap_or_default(),
        accelerator,
        platforms: table.subset("platforms", &PLATFORMS)?,
        architectures: table.subset("architectures", &ARCHITECTURES)?,
        license: table.text("license")?.unwrap_or_default(),
        needs,
        limit: table.parsed("limit", duration_of, "a time like \"90s\", \"20m\" or \"1h\"")?,
        verify: table.list("verify")?.unwrap_or_else(|| vec!["--version".to_owned()]),
        entry: table.text("entry")?,
        features: table.list("features")?.unwrap_or_default(),
        id,
    })
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, at: usize, text: String) -> CatalogError {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        CatalogError::Entry { file: self.file.to_owned(), line, text }
    }

    fn string(&self, value: &Spanned<DeValue<'_>>) -> Result<String, CatalogError> {
        let wrong = |why: &str| self.wrong(value.span().start, why.to_owned());
        match value.get_ref().as_str() {
            None => Err(wrong("expected a string")),
            Some(text) if text.len() > TEXT_BYTES => Err(wrong("the text is too long")),
            Some(text) if text.chars().any(char::is_control) => Err(wrong("control characters are not allowed")),
            Some(text) => Ok(text.to_owned()),
        }
    }

    fn one_of(&self, name: &str, known: &[&str], at: usize) -> Result<usize, CatalogError> {
        known.iter().position(|candidate| *candidate == name).ok_or_else(|| {
            self.wrong(at, format!("{name:?} is none of {}{}", known.join(", "), meant(name, known.iter().copied())))
        })
    }
}

struct Section<'r, 'a, 't> {
    reader: &'r Reader<'a>,
    table: &'r DeTable<'t>,
}

impl<'r, 't> Section<'r, '_, 't> {
    fn at(&self, key: &str) -> Option<&'r Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    fn only(&self, known: &[&str], prefix: &str) -> Result<(), CatalogError> {
        for key in self.table.keys() {
            let name: &Cow<'_, str> = key.get_ref();
            if !known.contains(&name.as_ref()) {
                let hint = meant(name, known.iter().copied());
                return Err(self
                    .reader
                    .wrong(key.span().start, format!("unknown key {:?}{hint}", format!("{prefix}{name}"))));
            }
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Result<Option<String>, CatalogError> {
        self.at(key).map(|value| self.reader.string(value)).transpose()
    }

    fn parsed<T>(&self, key: &str, parse: fn(&str) -> Option<T>, wanted: &str) -> Result<Option<T>, CatalogError> {
        let Some(value) = self.at(key) else { return Ok(None) };
        let text = self.reader.string(value)?;
        let parsed = parse(&text);
        parsed
            .map(Some)
            .ok_or_else(|| self.reader.wrong(value.span().start, format!("{key} = {text:?} is not {wanted}")))
    }

    fn items(&self, key: &str) -> Result<Option<Vec<(usize, String)>>, CatalogError> {
        let Some(value) = self.at(key) else { return Ok(None) };
        let wrong = |why: &str| self.reader.wrong(value.span().start, format!("{key:?} {why}"));
        let array = value.get_ref().as_array().ok_or_else(|| wrong("is not a list of strings"))?;
        if array.len() > LIST_ITEMS {
            return Err(wrong("has too many items"));
        }
        array.iter().map(|item| Ok((item.span().start, self.reader.string(item)?))).collect::<Result<_, _>>().map(Some)
    }

    fn list(&self, key: &str) -> Result<Option<Vec<String>>, CatalogError> {
        Ok(self.items(key)?.map(|items| items.into_iter().map(|(_, item)| item).collect()))
    }

    /// A list of some of `known`; all of them when the key is not there.
    fn subset(&self, key: &str, known: &[&str]) -> Result<Vec<String>, CatalogError> {
        let Some(items) = self.items(key)? else { return Ok(known.iter().map(|k| (*k).to_owned()).collect()) };
        for (at, item) in &items {
            self.reader.one_of(item, known, *at)?;
        }
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }
}

fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known).map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
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
        parse_entry("x/worker.toml", text, || Ok(id)).map_err(|error| error.to_string())
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
             platforms = ['macos']\n[needs]\ndisk = '1.5 GB'\nmemory = '512 MiB'\ntools = ['cmake>=3.14']\n",
        )
        .unwrap();
        assert_eq!((meta.id.as_str(), meta.family.as_str(), meta.name.as_str()), ("other", "fam", "N"));
        assert_eq!(meta.limit, Some(Duration::from_secs(5400)));
        assert_eq!((meta.needs.disk, meta.needs.memory), (1_500_000_000, 512 << 20));
        assert_eq!((meta.platforms, meta.features), (vec!["macos".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
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
            ("name = 'x'\nname = 'y'", ":2: "),
            ("name = 'x'\nname", ":2: "),
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
