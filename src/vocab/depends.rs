//! What a recipe says it needs, in the words of Arch.

use std::{cmp::Ordering, fmt};

use super::version::vercmp;

/// A package by the name that Arch has for it, and which versions will do: `cmake>=3.20`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub name: String,
    pub demand: Option<Demand>,
    pub needed: Needed,
    /// The only architecture that it is needed on, as makepkg calls it.
    pub arch: Option<String>,
}

/// When something is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// `makedepends`
    ToBuild,
    /// `depends`: a build links with it, and the program runs with it.
    ToRun,
    /// `checkdepends`
    ToCheck,
}

/// A relation to one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub relation: Relation,
    /// Without epoch and release: no tool tells those of a package.
    pub version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Less,
    AtMost,
    Exactly,
    AtLeast,
    More,
}

/// Two letters first, so that `>` is not found in `>=`.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Less),
    ("=", Relation::Exactly),
    (">", Relation::More),
];

/// Bytes of a name or a version.
const LENGTH: usize = 100;

impl Dependency {
    /// Reads `NAME`, `NAME>=VERSION` and the like; `None` for what can be no package.
    pub fn parse(text: &str, needed: Needed, arch: Option<&str>) -> Option<Self> {
        let at = text.find(['<', '=', '>']).unwrap_or(text.len());
        let (name, rest) = text.split_at(at);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
        if name.is_empty() || name.len() > LENGTH || name.starts_with(['-', '.']) || !name.bytes().all(plain) {
            return None;
        }
        let demand = match rest {
            "" => None,
            rest => {
                let (sign, relation) = RELATIONS.iter().find(|(sign, _)| rest.starts_with(sign))?;
                let version = bare(&rest[sign.len()..]);
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~".contains(&byte);
                if version.is_empty() || version.len() > LENGTH || !version.bytes().all(plain) {
                    return None;
                }
                Some(Demand { relation: *relation, version: version.to_owned() })
            }
        };
        Some(Self { name: name.to_owned(), demand, needed, arch: arch.map(str::to_owned) })
    }
}

/// A version without its epoch and its release.
fn bare(version: &str) -> &str {
    let digits = version.bytes().take_while(u8::is_ascii_digit).count();
    let version = version[digits..].strip_prefix(':').unwrap_or(version);
    version.split_once('-').map_or(version, |(version, _)| version)
}

impl Demand {
    /// Whether `version` will do.
    pub fn accepts(&self, version: &str) -> bool {
        let order = vercmp(bare(version), &self.version);
        match self.relation {
            Relation::Less => order == Ordering::Less,
            Relation::AtMost => order != Ordering::Greater,
            Relation::Exactly => order == Ordering::Equal,
            Relation::AtLeast => order != Ordering::Less,
            Relation::More => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = RELATIONS.iter().find(|(_, relation)| *relation == self.relation).map_or("", |(sign, _)| sign);
        write!(f, "{sign}{}", self.version)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.demand.as_ref().map_or(Ok(()), |demand| write!(f, "{demand}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_relations_are_read_and_nothing_else_is() {
        let read = |text: &str| Dependency::parse(text, Needed::ToBuild, None);
        for (text, shown) in [
            ("cmake", "cmake"),
            ("cmake>=3.20", "cmake>=3.20"),
            ("openssl=1:3.0.1-2", "openssl=3.0.1"),
            ("libcurl.so=4-64", "libcurl.so=4"),
            ("gtk2+extra<3", "gtk2+extra<3"),
            ("a>1", "a>1"),
            ("a<=1", "a<=1"),
        ] {
            assert_eq!(read(text).map(|d| d.to_string()).as_deref(), Some(shown), "{text}");
        }
        for text in
            ["", ">=1", "a>=", "a==1", "a b", "a;rm", "-rf", "..", "a>=$(x)", "a=1:", "é", "a\n", &"x".repeat(101)]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_version_does_or_does_not() {
        let accepts = |demand: &str, version: &str| {
            let read = Dependency::parse(&format!("x{demand}"), Needed::ToRun, None).unwrap();
            read.demand.unwrap().accepts(version)
        };
        assert!(accepts(">=3.20", "3.25.1") && accepts(">=3.20", "3.20") && !accepts(">=3.20", "3.9"));
        assert!(accepts("<2", "1.9") && !accepts("<2", "2") && accepts("<=2", "2"));
        assert!(accepts("=1.2", "1.2") && !accepts("=1.2", "1.2.1") && accepts(">1.2", "1.2.1"));
        assert!(accepts(">=1:3-2", "3.1"), "no tool knows of an epoch");
    }
}
