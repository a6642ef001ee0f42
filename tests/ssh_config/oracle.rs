//! What ssh answers, what rbee answers, and whether that is the same.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rbee::target::ssh::config::{AlgorithmList, Asked, Defaults, Key, SshConfig, Surroundings};

/// Keywords in lower case, and the lines that are printed of each.
pub type Answer = BTreeMap<String, Vec<String>>;

/// What a distribution changes, so that it is compared only where a file says something about it.
const VENDORS: &[&str] = &[
    "forwardx11trusted",   // Debian trusts X11 clients.
    "xauthlocation",       // Where the build found it.
    "gssapikexalgorithms", // Only in patched builds.
];

/// Lists whose standard is ssh's own where no file names one, with the question that `ssh -Q` answers.
const ALGORITHMS: &[(&str, &str)] = &[
    ("ciphers", "cipher"),
    ("macs", "mac"),
    ("kexalgorithms", "kex"),
    ("hostkeyalgorithms", "key-sig"),
    ("hostbasedacceptedalgorithms", "key-sig"),
    ("pubkeyacceptedalgorithms", "key-sig"),
    ("casignaturealgorithms", "sig"),
];

/// The environment on both sides.
pub const ENV: &[(&str, &str)] =
    &[("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("RBEE_X", "/run/x"), ("LANG", "C")];

/// The user who runs this, as ssh sees it.
pub struct Me {
    pub name: String,
    pub home: PathBuf,
}

pub fn me() -> &'static Me {
    static ME: OnceLock<Me> = OnceLock::new();
    ME.get_or_init(|| {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("a list of users").expect("a user");
        Me { name: user.name, home: user.dir }
    })
}

pub fn surroundings(home: &Path) -> Surroundings {
    Surroundings::new(home).with_env(ENV.iter().map(|(name, value)| (name.into(), value.into())))
}

/// Runs ssh with these words; its output, or what it complained of.
pub fn ssh(command: &mut Command) -> Result<String, String> {
    let out = command.env_clear().envs(ENV.iter().copied()).stdin(Stdio::null()).output().expect("ssh can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

/// What `ssh -G` printed.
pub fn answer(text: &str) -> Answer {
    let mut answer = Answer::new();
    for line in text.lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        answer.entry(keyword.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    answer
}

/// What ssh says when no file says anything.
fn standard() -> &'static Answer {
    static STANDARD: OnceLock<Answer> = OnceLock::new();
    STANDARD.get_or_init(|| answer(&ssh(Command::new("ssh").args(["-G", "-F", "none", "name"])).expect("ssh -G")))
}

fn all_of(question: &str) -> Vec<String> {
    let text = ssh(Command::new("ssh").args(["-Q", question])).expect("ssh -Q");
    text.lines().map(str::to_owned).collect()
}

/// What rbee says, as `ssh -G` would print it.
pub fn ours(config: &SshConfig, name: &str) -> Result<Answer, String> {
    let defaults = Defaults { user: me().name.clone(), connect_timeout: Duration::from_secs(10), agent: None };
    let asked = Asked { name, origin: "here", ..Asked::default() };
    let settings = config.look_up(&asked, &defaults).map_err(|error| error.to_string())?;
    let mut answer = Answer::new();
    answer.insert("host".to_owned(), vec![settings.name.clone()]);
    for entry in settings.report() {
        let mut value = entry.value;
        if let Some((_, question)) = ALGORITHMS.iter().find(|(keyword, _)| *keyword == entry.keyword) {
            let standard: Vec<&str> = standard()[entry.keyword][0].split(',').collect();
            let all = all_of(question);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            value = AlgorithmList::parse(&value).over(&standard, &all).join(",");
        }
        answer.entry(entry.keyword.to_owned()).or_default().push(value);
    }
    // ssh prints a forward to a path once more, as if it were a dynamic one.
    let twice = settings.get(Key::LocalForward).iter().filter(|_| shows_forwards(&answer));
    let twice = twice.filter(|found| found.words.last().is_some_and(|to| to.starts_with('/')));
    let twice: Vec<String> = twice.map(|found| found.word().to_owned()).collect();
    if !twice.is_empty() {
        answer.entry("dynamicforward".to_owned()).or_default().extend(twice);
    }
    // What rbee leaves to itself, or a distribution to itself, is not compared.
    let silent = |key: &str| ALGORITHMS.iter().any(|(k, _)| *k == key) && !answer.contains_key(key);
    let mut left: Vec<&str> = ALGORITHMS.iter().map(|(k, _)| *k).filter(|k| silent(k)).collect();
    let said = |name: &str| Key::named(name).is_some_and(|key| !settings.get(key).is_empty());
    left.extend(VENDORS.iter().copied().filter(|keyword| !said(keyword)));
    for keyword in left {
        match standard().get(keyword) {
            Some(lines) => drop(answer.insert(keyword.to_owned(), lines.clone())),
            None => drop(answer.remove(keyword)),
        }
    }
    Ok(answer)
}

fn shows_forwards(answer: &Answer) -> bool {
    answer.get("clearallforwardings").is_some_and(|lines| lines == &["no"])
}

/// Says in what two answers differ; empty if in nothing.
pub fn difference(theirs: &Result<Answer, String>, ours: &Result<Answer, String>) -> String {
    let mut text = String::new();
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => {
            let mut keywords: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
            keywords.sort();
            keywords.dedup();
            for keyword in keywords {
                let lines = |answer: &Answer| {
                    let mut lines = answer.get(keyword).cloned();
                    // Local and dynamic ones are one list to ssh, so these stand in an order of their own.
                    lines.iter_mut().filter(|_| keyword == "dynamicforward").for_each(|lines| lines.sort());
                    lines
                };
                if lines(theirs) != lines(ours) {
                    let _ = writeln!(text, "  {keyword}: ssh {:?}, rbee {:?}", theirs.get(keyword), ours.get(keyword));
                }
            }
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => drop(writeln!(text, "  ssh takes it, rbee says: {error}")),
        (Err(error), Ok(_)) => drop(writeln!(text, "  rbee takes it, ssh says: {error}")),
    }
    text
}

/// How two programs understood one file.
#[derive(Default)]
pub struct Compared {
    /// In what they differ; empty if in nothing.
    pub difference: String,
    /// Hosts for which both took the file, and for which both refused it.
    pub taken: usize,
    pub refused: usize,
}

impl Compared {
    pub fn add(&mut self, name: &str, theirs: &Result<Answer, String>, ours: &Result<Answer, String>) {
        let found = difference(theirs, ours);
        if !found.is_empty() {
            let _ = write!(self.difference, " {name}:\n{found}");
        }
        self.taken += usize::from(theirs.is_ok() && ours.is_ok());
        self.refused += usize::from(theirs.is_err() && ours.is_err());
    }
}

/// Asks both about hosts of a file.
pub fn compare(file: &Path, names: &[&str]) -> Compared {
    let config = SshConfig::load_in(Some(file), surroundings(&me().home)).map_err(|error| error.to_string());
    let mut compared = Compared::default();
    for name in names {
        let theirs = ssh(Command::new("ssh").arg("-G").arg("-F").arg(file).arg("--").arg(name)).map(|out| answer(&out));
        let ours = config.as_ref().map_err(String::clone).and_then(|config| ours(config, name));
        compared.add(name, &theirs, &ours);
    }
    compared
}
