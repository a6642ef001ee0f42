//! The operations that root is asked for, word by word, and the sudoers lines that allow them and nothing else.

use std::fmt::Write as _;

use super::super::Layout;
use crate::vocab::{WorkerId, text::sh_join};

/// Programs of a host, found in folders that only root writes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools {
    pub sudo: String,
    pub sh: String,
    pub install: String,
    pub tee: String,
    pub mv: String,
    pub rm: String,
    pub chmod: String,
    /// What takes a sha256, with its arguments before the files.
    pub hash: Vec<String>,
}

/// The paths of one program below the system's folders. None of them has a run, a digest or a version in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    layout: Layout,
    worker: WorkerId,
    program: String,
}

/// One command, from the absolute path of its program to its last argument.
pub type Words = Vec<String>;

/// All that root ever does for one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    pub folders: Words,
    /// An empty part, whatever was there before.
    pub fresh: Words,
    pub fill: Words,
    /// With a file before it whose sha256 is known: so its output shows that it ran.
    pub hash: Words,
    pub place: Words,
    pub manifest: Words,
    pub place_manifest: Words,
    pub keep: Words,
    pub keep_manifest: Words,
    pub sweep: Words,
    pub remove: Words,
}

impl Places {
    /// `program` is the name of the file, without a folder.
    pub fn new(layout: &Layout, worker: &WorkerId, program: &str) -> Self {
        Self { layout: layout.clone(), worker: worker.clone(), program: program.to_owned() }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn bin(&self) -> &str {
        &self.layout.bin
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.layout.bin, self.program)
    }

    pub fn part(&self) -> String {
        format!("{}/.{}.rbee", self.layout.bin, self.program)
    }

    pub fn manifest(&self) -> String {
        self.layout.manifest(&self.worker)
    }

    pub fn manifest_part(&self) -> String {
        format!("{}/.{}.rbee", self.layout.installed(), self.worker)
    }

    pub fn kept(&self) -> String {
        self.layout.pinned_kept(&self.worker)
    }

    pub fn kept_manifest(&self) -> String {
        self.layout.pinned_kept_manifest(&self.worker)
    }

    pub fn operations(&self, tools: &Tools) -> Operations {
        let words = |program: &str, arguments: &[&str]| -> Words {
            std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect()
        };
        let (path, part, manifest, staged) = (self.path(), self.part(), self.manifest(), self.manifest_part());
        let (kept, kept_manifest, data) = (self.kept(), self.kept_manifest(), &self.layout.data);
        let (installed, store) = (self.layout.installed(), self.layout.stores());
        let hash = tools.hash.iter().map(String::as_str).chain(["/dev/null", &part]);
        Operations {
            folders: words(&tools.install, &["-d", "-m", "0755", data, &installed, &store]),
            fresh: words(&tools.install, &["-m", "0755", "/dev/null", &part]),
            fill: words(&tools.tee, &[&part]),
            hash: hash.map(str::to_owned).collect(),
            place: words(&tools.mv, &["-f", &part, &path]),
            manifest: words(&tools.tee, &[&staged]),
            place_manifest: words(&tools.mv, &["-f", &staged, &manifest]),
            keep: words(&tools.install, &["-m", "0755", &path, &kept]),
            keep_manifest: words(&tools.tee, &[&kept_manifest]),
            sweep: words(&tools.rm, &["-f", &part, &staged]),
            remove: words(&tools.rm, &["-f", &path, &manifest, &kept, &kept_manifest]),
        }
    }
}

impl Operations {
    /// By purpose: the program, its manifest and the kept version, what takes them away.
    fn groups(&self) -> [Vec<&Words>; 3] {
        [
            vec![&self.folders, &self.fresh, &self.fill, &self.hash, &self.place],
            vec![&self.manifest, &self.place_manifest, &self.keep, &self.keep_manifest],
            vec![&self.sweep, &self.remove],
        ]
    }
}

/// Three sudoers lines a program that let `user` install, roll back and remove it.
pub fn sudoers_lines(user: &str, uid: Option<u32>, tools: &Tools, places: &[Places]) -> String {
    let plain = !user.is_empty() && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let who = match uid {
        Some(uid) if !plain || user == "ALL" || user.starts_with('-') => format!("#{uid}"),
        _ => user.to_owned(),
    };
    let mut lines = String::new();
    for place in places {
        for group in place.operations(tools).groups() {
            let commands: Vec<String> =
                group.iter().map(|words| words.iter().map(|w| escaped(w)).collect::<Vec<_>>().join(" ")).collect();
            let _ = writeln!(lines, "{who} ALL=(root) NOPASSWD: {}", commands.join(", "));
        }
    }
    lines.truncate(lines.trim_end().len());
    lines
}

/// A word as sudoers takes it for itself and nothing else: what has a meaning there is escaped.
fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars() {
        if c.is_whitespace() || ",:=\\*?[]!\"#()'".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Words as a line of shell.
pub fn line(words: &Words) -> String {
    sh_join(words)
}
