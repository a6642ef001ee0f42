//! The packages that a recipe names, read without running it.
//!
//! `.SRCINFO` says them all. Without one, what stands plainly at the head of the PKGBUILD is read: an array that begins at
//! the begin of a line, outside of functions. A word with a `$` in it is only known to bash, and left out.

use crate::vocab::{
    WorkerId,
    depends::{Dependency, Needed},
    recipe::RecipeFile,
};

/// Packages of one recipe; more are not looked at.
const MOST: usize = 200;

const KINDS: [(&str, Needed); 3] =
    [("makedepends", Needed::ToBuild), ("depends", Needed::ToRun), ("checkdepends", Needed::ToCheck)];

/// What the recipe with these files needs where it makes `worker`.
pub(super) fn depends(files: &[RecipeFile], worker: &WorkerId) -> Vec<Dependency> {
    let text = |name: &str| {
        files.iter().find(|file| file.path == name).map(|file| String::from_utf8_lossy(&file.content).into_owned())
    };
    let mut found = match (text(".SRCINFO"), text("PKGBUILD")) {
        (Some(info), _) => from_srcinfo(&info, worker.as_str()),
        (None, Some(pkgbuild)) => from_pkgbuild(&pkgbuild),
        (None, None) => Vec::new(),
    };
    found.truncate(MOST);
    found
}

/// `depends`, or `depends_x86_64` and for which architecture that is.
fn kind_of(key: &str) -> Option<(Needed, Option<&str>)> {
    let (_, needed) =
        KINDS.iter().find(|(name, _)| key.strip_prefix(name).is_some_and(|t| t.is_empty() || t.starts_with('_')))?;
    Some((*needed, key.split_once('_').map(|(_, arch)| arch)))
}

fn add(found: &mut Vec<Dependency>, dependency: Option<Dependency>) {
    if let Some(dependency) = dependency.filter(|new| found.len() < MOST && !found.contains(new)) {
        found.push(dependency);
    }
}

/// The base's packages; what the package of the worker's name, or the only one, says itself takes their place.
fn from_srcinfo(text: &str, worker: &str) -> Vec<Dependency> {
    let (mut base, mut sections): (Vec<Dependency>, Vec<(String, Vec<Dependency>)>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        if key == "pkgname" && sections.len() < MOST {
            sections.push((value.to_owned(), Vec::new()));
        } else if let Some((needed, arch)) = kind_of(key) {
            let list = sections.last_mut().map_or(&mut base, |(_, list)| list);
            add(list, Dependency::parse(value, needed, arch));
        }
    }
    let only = sections.len() == 1;
    let own = sections.into_iter().find(|(name, _)| only || name == worker).map(|(_, own)| own).unwrap_or_default();
    base.retain(|inherited| !own.iter().any(|own| (own.needed, &own.arch) == (inherited.needed, &inherited.arch)));
    own.into_iter().for_each(|dependency| add(&mut base, Some(dependency)));
    base
}

fn from_pkgbuild(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut rest = text;
    // Functions are closed by a brace at the begin of a line in every style that people write.
    let mut inside = false;
    while let Some((line, after)) = rest.split_once('\n').or_else(|| (!rest.is_empty()).then_some((rest, ""))) {
        if inside {
            inside = !line.starts_with('}');
        } else if let Some((key, _)) = line.split_once('=').filter(|(_, value)| value.starts_with('(')) {
            let Some((words, end)) = array(&rest[key.len() + 2..]) else { return found };
            if let Some((needed, arch)) = kind_of(key.trim_end_matches('+')) {
                words.iter().for_each(|word| add(&mut found, Dependency::parse(word, needed, arch)));
            }
            rest = end;
            continue;
        } else if line.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && line.contains("()") {
            inside = !line.trim_end().ends_with('}');
        }
        rest = after;
    }
    found
}

/// The words up to the closing parenthesis, and what follows it; `None` without one.
fn array(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut words, mut word, mut known) = (Vec::new(), None::<String>, true);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()?.1 {
                        end if end == c => break,
                        '\\' if c == '"' => word.push(chars.next()?.1),
                        '$' | '`' if c == '"' => known = false,
                        other => word.push(other),
                    }
                }
            }
            '\\' => {
                let escaped = chars.next()?.1;
                if escaped != '\n' {
                    word.get_or_insert_default().push(escaped);
                }
            }
            '#' if word.is_none() => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            c if c.is_whitespace() || c == ')' => {
                words.extend(word.take().filter(|_| std::mem::replace(&mut known, true)));
                if c == ')' {
                    return Some((words, &text[at + 1..]));
                }
            }
            '$' | '`' | '(' | '{' => {
                known = false;
                word.get_or_insert_default();
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Vec<String> {
        let files = [RecipeFile { path: name.into(), executable: false, content: text.as_bytes().to_vec() }];
        let shown = |d: &Dependency| match (&d.arch, d.needed) {
            (Some(arch), _) => format!("{d} on {arch}"),
            (None, Needed::ToBuild) => format!("{d}"),
            (None, Needed::ToRun) => format!("{d} to run"),
            (None, Needed::ToCheck) => format!("{d} to check"),
        };
        depends(&files, &WorkerId::new("w").unwrap()).iter().map(shown).collect()
    }

    #[test]
    fn a_srcinfo_says_them_all() {
        let text = "pkgbase = w\n\tmakedepends = cmake>=3.20\n\tmakedepends = cmake>=3.20\n\tdepends = glibc\n\
                    \tdepends_aarch64 = x\n\tcheckdepends = python\n\tdepends = $(reboot)\n\n\
                    pkgname = other\n\tdepends = y\n\npkgname = w\n\tdepends = openssl\n\toptdepends = z: nice\n";
        assert_eq!(read(".SRCINFO", text), ["cmake>=3.20", "x on aarch64", "python to check", "openssl to run"]);
    }

    #[test]
    fn of_a_pkgbuild_only_what_stands_there_plainly_is_known() {
        let text = "pkgname=w\n# depends=(no)\ndepends=('glibc' \"gcc-libs\" $_extra \"x$y\" a\\ b)\n\
                    makedepends=(cmake>=3.20 # ) a comment's\n  'git'\n\n  \"ninja\")\nmakedepends+=('rust')\n\
                    source=(\"a::https://x/$pkgver.tar.gz\" 'b)')\noptdepends=('z: for (this)')\n\
                    if true; then\n  depends+=(hidden)\nfi\n\
                    build() {\n  depends=(inner)\n}\none() { depends=(x); }\ncheckdepends=(python)\nmakedepends_x86_64=(nasm)\n";
        let found = read("PKGBUILD", text);
        assert_eq!(
            found,
            [
                "glibc to run",
                "gcc-libs to run",
                "cmake>=3.20",
                "git",
                "ninja",
                "rust",
                "python to check",
                "nasm on x86_64"
            ]
        );
    }

    #[test]
    fn garbage_has_an_end() {
        for text in
            ["depends=(", "depends=('", "depends=(a\\", "depends=(\"\\", "x() {", "\u{0}=(", "depends=(a) depends=(b)"]
        {
            read("PKGBUILD", text);
        }
        let many = format!("depends=({})\n", (0..5000).map(|n| format!("a{n} ")).collect::<String>());
        assert_eq!(read("PKGBUILD", &many).len(), MOST);
    }
}
