//! The little that is read of a `.SRCINFO`: a recipe's base name, version and dependencies, without running it.

use super::Offer;

const LIST_ITEMS: usize = 256;

/// What a person is told of a recipe, where the text has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SrcInfo {
    pub base: Option<String>,
    pub version: Option<String>,
    pub depends: Vec<String>,
    pub makedepends: Vec<String>,
}

impl SrcInfo {
    /// The offer with the recipe's dependencies.
    pub fn over(&self, offer: Offer) -> Offer {
        Offer { depends: self.depends.clone(), makedepends: self.makedepends.clone(), ..offer }
    }
}

/// Reads `key = value` lines up to the first package section; everything else in them is left alone.
pub(super) fn parse_srcinfo(text: &str) -> SrcInfo {
    let mut info = SrcInfo::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        if !is_plain(value) {
            continue;
        }
        let slot = match key.trim() {
            "pkgbase" => &mut info.base,
            "pkgver" => &mut info.version,
            "depends" if info.depends.len() < LIST_ITEMS => {
                info.depends.push(value.to_owned());
                continue;
            }
            "makedepends" if info.makedepends.len() < LIST_ITEMS => {
                info.makedepends.push(value.to_owned());
                continue;
            }
            "pkgname" => break,
            _ => continue,
        };
        slot.get_or_insert_with(|| value.to_owned());
    }
    info
}

/// Whether a text can be a name or a version: short, printable, and no path.
pub(super) fn is_plain(value: &str) -> bool {
    (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_version_are_read_and_hostile_ones_are_not() {
        let info = parse_srcinfo("# by hand\npkgbase = a\n\tpkgver = 1.2\n\tpkgver = 9\npkgname = b\n\tpkgver = 3\n");
        assert_eq!(info, SrcInfo { base: Some("a".into()), version: Some("1.2".into()), ..SrcInfo::default() });
        let info = parse_srcinfo("pkgbase = ../../etc\n\tpkgver = \u{1b}[31m\nno equals sign\n=\n");
        assert_eq!(info, SrcInfo::default());
        let info = parse_srcinfo("\tmakedepends = cmake>=3.14\n\tdepends = gcc-libs\n\tdepends = a b\n");
        assert_eq!((info.depends, info.makedepends), (vec!["gcc-libs".to_owned()], vec!["cmake>=3.14".to_owned()]));
    }
}
