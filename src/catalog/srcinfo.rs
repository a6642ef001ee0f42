//! The little that is read of a `.SRCINFO`: a recipe's base name and version, without running it.

/// Base name and version, where the text has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SrcInfo {
    pub base: Option<String>,
    pub version: Option<String>,
}

/// Reads `key = value` lines up to the first package section; everything else in them is left alone.
pub(super) fn parse_srcinfo(text: &str) -> SrcInfo {
    let mut info = SrcInfo::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        let slot = match key.trim() {
            "pkgbase" => &mut info.base,
            "pkgver" => &mut info.version,
            "pkgname" => break,
            _ => continue,
        };
        if slot.is_none() && is_plain(value) {
            *slot = Some(value.to_owned());
        }
    }
    info
}

fn is_plain(value: &str) -> bool {
    (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_version_are_read_and_hostile_ones_are_not() {
        let info = parse_srcinfo("# by hand\npkgbase = a\n\tpkgver = 1.2\n\tpkgver = 9\npkgname = b\n\tpkgver = 3\n");
        assert_eq!(info, SrcInfo { base: Some("a".into()), version: Some("1.2".into()) });
        let info = parse_srcinfo("pkgbase = ../../etc\n\tpkgver = \u{1b}[31m\nno equals sign\n=\n");
        assert_eq!(info, SrcInfo::default());
    }
}
