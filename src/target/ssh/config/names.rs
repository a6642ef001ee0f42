//! The one question to the resolver that the standard library cannot put: which name is the canonical one.

use std::{
    ffi::{CStr, CString},
    ptr,
};

use nix::libc;

use super::resolved::Family;

/// Looks a name up as [`LookUp`](super::LookUp) says; blocks as long as the system's resolver does.
pub(super) fn look_up(name: &str, family: Family) -> Option<Option<String>> {
    let name = CString::new(name).ok()?;
    // SAFETY: all fields of `addrinfo` may be zero: numbers and null pointers.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = match family {
        Family::Any => libc::AF_UNSPEC,
        Family::Inet => libc::AF_INET,
        Family::Inet6 => libc::AF_INET6,
    };
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = libc::AI_CANONNAME;
    let mut found: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: `name` and `hints` live through the call, and `found` takes the list that is freed below.
    if unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut found) } != 0
        || found.is_null()
    {
        return None;
    }
    // SAFETY: the list is not empty, and the canonical name of its first entry is null or a C string that lives as long.
    let canonical = unsafe {
        let name = (*found).ai_canonname;
        let canonical = if name.is_null() { None } else { CStr::from_ptr(name).to_str().ok().map(str::to_owned) };
        libc::freeaddrinfo(found);
        canonical
    };
    Some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_own_name() {
        assert_eq!(look_up("127.0.0.1", Family::Any), Some(Some("127.0.0.1".to_owned())));
        assert_eq!(look_up("127.0.0.1", Family::Inet6), None);
        assert_eq!(look_up("a\0b", Family::Any), None);
    }
}
