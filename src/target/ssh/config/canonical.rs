//! Names in their canonical form: addresses as they are printed, and `CanonicalizeHostname`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{super::pattern, keyword::Key, resolved::Family, settings::Settings, value};

/// The name that is connected to, from the one that was found for the host.
///
/// # Errors
/// `CanonicalizeFallbackLocal no`, and no domain has the name.
pub(super) fn canonical(settings: &Settings, name: &str) -> Result<String, String> {
    let family = family(settings);
    if let Some(address) = address(name, family) {
        return Ok(if address.eq_ignore_ascii_case(name) { name.to_owned() } else { address });
    }
    // It cannot be a name, though it is no address of the wanted family either.
    if looks_like_address(name) {
        return Ok(name.to_owned());
    }
    let name = name.to_ascii_lowercase();
    let direct = settings.some(Key::ProxyCommand).is_none() && settings.some(Key::ProxyJump).is_none();
    let wanted = match settings.word(Key::CanonicalizeHostname) {
        Some("always") => true,
        Some("true") => direct,
        _ => false,
    };
    if !wanted {
        return Ok(name);
    }
    let look_up = &settings.around.look_up;
    let aliased = |name: String| match settings.some(Key::CanonicalizePermittedCnames) {
        Some(_) => followed(settings, name.clone(), look_up(&name, family).flatten()),
        None => name,
    };
    let dots = name.matches('.').count();
    let candidates: Vec<String> = if name.ends_with('.') {
        vec![name.clone()]
    } else if dots > settings.number::<usize>(Key::CanonicalizeMaxDots) {
        return Ok(aliased(name));
    } else {
        let domains = settings.get(Key::CanonicalDomains).first().map_or(&[][..], |found| &found.words);
        let domains = domains.iter().take_while(|domain| *domain != "none");
        domains.map(|domain| format!("{name}.{domain}.")).collect()
    };
    for candidate in candidates {
        if let Some(answer) = look_up(&candidate, family) {
            let full = candidate.trim_end_matches('.').to_owned();
            return Ok(followed(settings, full, answer));
        }
    }
    if settings.is(Key::CanonicalizeFallbackLocal, "no") {
        return Err(format!("{name} is in none of the domains of CanonicalDomains"));
    }
    Ok(aliased(name))
}

/// The name behind an alias, where `CanonicalizePermittedCNAMEs` has a rule for both.
fn followed(settings: &Settings, name: String, alias_of: Option<String>) -> String {
    let Some(target) = alias_of.and_then(|target| value::domain(&target).ok()).filter(|target| *target != name) else {
        return name;
    };
    let Some(rules) = settings.some(Key::CanonicalizePermittedCnames) else { return name };
    let fits = |patterns: &str, name: &str| pattern::list_fits(patterns.split(','), name);
    let permitted = rules.words.iter().filter_map(|rule| rule.split_once(':'));
    let mut permitted = permitted.filter(|(names, targets)| fits(names, &name) && fits(targets, &target));
    if permitted.next().is_some() { target } else { name }
}

pub(super) fn family(settings: &Settings) -> Family {
    match settings.word(Key::AddressFamily) {
        Some("inet") => Family::Inet,
        Some("inet6") => Family::Inet6,
        _ => Family::Any,
    }
}

fn looks_like_address(name: &str) -> bool {
    name.contains(['%', ':']) || name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// An address in its usual form; `None` for a name.
fn address(name: &str, family: Family) -> Option<String> {
    if name.contains(':') {
        let (bare, zone) = name.split_once('%').unwrap_or((name, ""));
        let parsed: Ipv6Addr = bare.parse().ok().filter(|_| family != Family::Inet)?;
        return Some(if zone.is_empty() { parsed.to_string() } else { format!("{parsed}%{zone}") });
    }
    if family == Family::Inet6 {
        return None;
    }
    // As the C library reads it: up to four numbers, of which the last fills what is left.
    let parts: Vec<u32> = name.split('.').map(value::c_number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) || u64::from(*last) >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let head = first.iter().enumerate().map(|(at, part)| part << (24 - 8 * at)).sum::<u32>();
    Some(Ipv4Addr::from(head | last).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, form) in [
            ("127.1", Some("127.0.0.1")),
            ("10", Some("0.0.0.10")),
            ("0x7f.0.0.01", Some("127.0.0.1")),
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.3.256", None),
            ("1.2.3.4.5", None),
            ("::0001", Some("::1")),
            ("fe80::1%eth0", Some("fe80::1%eth0")),
            ("host", None),
            ("a.1", None),
            ("", None),
            ("1.", None),
        ] {
            assert_eq!(address(text, Family::Any).as_deref(), form, "{text}");
        }
        assert_eq!(address("::1", Family::Inet), None);
        assert_eq!(address("127.1", Family::Inet6), None);
    }
}
