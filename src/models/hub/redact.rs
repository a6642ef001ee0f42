//! Addresses as they may be shown.

/// The same text with what stands behind a `?` of an address left out: signatures do.
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let end = rest[at..].find(|c: char| c.is_whitespace() || "\"')>".contains(c)).map_or(rest.len(), |n| at + n);
        let address = &rest[..end];
        match address[at..].find('?') {
            Some(n) => {
                out.push_str(&address[..at + n]);
                out.push_str("?…");
            }
            None => out.push_str(address),
        }
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_not_shown() {
        let text = "error for (https://cdn.x/a?sig=1&b=2), and http://y/?q \"http://z/p?k\" end?";
        assert_eq!(redacted(text), "error for (https://cdn.x/a?…), and http://y/?… \"http://z/p?…\" end?");
    }
}
