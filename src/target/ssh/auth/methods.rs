//! Which method is next.

use russh::MethodKind;

use crate::target::ssh::config::Method;

/// The configured methods, as far as the server offers them and they have something to send.
#[derive(Debug)]
pub(super) struct Methods {
    /// In the order of trying.
    wanted: Vec<Method>,
    /// How far down that list the login has come with the server's present offer.
    at: usize,
    /// `None`: the server has not said yet.
    offered: Option<Vec<MethodKind>>,
}

impl Methods {
    pub(super) fn new(wanted: &[Method]) -> Self {
        Self { wanted: wanted.to_vec(), at: 0, offered: None }
    }

    /// The method to go on with; the same one until it is exhausted or no longer offered.
    pub(super) fn next(&mut self) -> Option<Method> {
        while let Some(&method) = self.wanted.get(self.at) {
            if self.offered.as_ref().is_none_or(|offered| offered.contains(&kind(method))) {
                return Some(method);
            }
            self.at += 1;
        }
        None
    }

    /// Whether the server has said what it offers.
    pub(super) fn is_known(&self) -> bool {
        self.offered.is_some()
    }

    /// The server said how one may go on; another offer than before starts the list over.
    pub(super) fn heard(&mut self, offered: &[MethodKind]) {
        if self.offered.as_deref().is_some_and(|before| before != offered) {
            self.at = 0;
        }
        self.offered = Some(offered.to_vec());
    }

    /// The method has nothing more to send, in this login.
    pub(super) fn exhausted(&mut self, method: Method) {
        if let Some(index) = self.wanted.iter().position(|wanted| *wanted == method) {
            self.wanted.remove(index);
        }
    }
}

fn kind(method: Method) -> MethodKind {
    match method {
        Method::PublicKey => MethodKind::PublicKey,
        Method::KeyboardInteractive => MethodKind::KeyboardInteractive,
        Method::Password => MethodKind::Password,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Method; 3] = [Method::PublicKey, Method::KeyboardInteractive, Method::Password];

    #[test]
    fn the_order_is_ours_and_the_choice_the_servers() {
        let mut methods = Methods::new(&ALL);
        assert_eq!(methods.next(), Some(Method::PublicKey));
        methods.heard(&[MethodKind::Password, MethodKind::PublicKey]);
        assert_eq!(methods.next(), Some(Method::PublicKey));
        methods.exhausted(Method::PublicKey);
        assert_eq!(methods.next(), Some(Method::Password));
        methods.exhausted(Method::Password);
        assert_eq!(methods.next(), None);
    }

    #[test]
    fn another_offer_starts_over_without_what_is_exhausted() {
        let mut methods = Methods::new(&ALL);
        methods.heard(&[MethodKind::PublicKey]);
        assert_eq!(methods.next(), Some(Method::PublicKey));
        methods.heard(&[MethodKind::KeyboardInteractive]);
        assert_eq!(methods.next(), Some(Method::KeyboardInteractive));
        methods.heard(&[MethodKind::PublicKey, MethodKind::Password]);
        assert_eq!(methods.next(), Some(Method::PublicKey));
        methods.exhausted(Method::PublicKey);
        methods.heard(&[MethodKind::PublicKey]);
        assert_eq!(methods.next(), None);
    }
}
