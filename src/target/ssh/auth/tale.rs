//! What is said about a login that failed.

use russh::MethodKind;

use crate::{
    target::{TargetError, ssh::config::Resolved},
    vocab::{Reason, text},
};

/// Names of keys in one sentence; more of them are counted.
const NAMED: usize = 6;

/// What happened, for the person who has to make it work.
#[derive(Debug, Default)]
pub(super) struct Tale {
    pub offered: Vec<String>,
    /// With the reason in parentheses.
    pub passed_over: Vec<String>,
    /// What the server took, if it asked for more after that.
    pub taken: Vec<String>,
    /// The server's last word on how one may log in.
    pub accepts: Option<Vec<MethodKind>>,
    /// Keys that were not offered when the server had enough.
    pub left: usize,
    /// How the server ended it, if it did.
    pub ended: Option<String>,
}

impl Tale {
    /// The refusal in one sentence, and what to do.
    pub(super) fn error(self, resolved: &Resolved) -> TargetError {
        let Resolved { user, host_name, port, .. } = resolved;
        let too_many = self.ended.as_deref().is_some_and(|why| why.contains("Too many authentication failures"));
        let mut said = if self.taken.is_empty() {
            format!("the login as {user}@{host_name} was refused")
        } else {
            format!("{user}@{host_name} asks for more than {}", listed(&self.taken))
        };
        said += &match (self.offered.is_empty(), self.taken.is_empty()) {
            (true, true) if self.passed_over.is_empty() => ": there was no key to offer".to_owned(),
            (true, _) => String::new(),
            (false, _) => format!("; offered: {}", listed(&self.offered)),
        };
        if !self.passed_over.is_empty() {
            said += &format!("; not used: {}", listed(&self.passed_over));
        }
        let accepts: Vec<String> = self.accepts.iter().flatten().map(|kind| <&str>::from(kind).to_owned()).collect();
        if !accepts.is_empty() && self.ended.is_none() {
            said += &format!("; the server accepts {}", listed(&accepts));
        }
        if let Some(why) = &self.ended {
            said += &match (too_many, self.left) {
                (true, 0) => "; then the server had seen too many failures and closed the connection".to_owned(),
                (true, left) => format!(
                    "; then the server had seen too many failures and closed the connection, before {left} more could be offered"
                ),
                (false, _) => format!("; then {}", text::plain_line(why)),
            };
        }
        let hint = self.hint(resolved, too_many);
        let to = if *port == 22 { format!("{user}@{host_name}") } else { format!("-p {port} {user}@{host_name}") };
        TargetError::Connect { reason: Reason::Auth, text: said, hint: Some(hint.replace("{to}", &to)) }
    }

    fn hint(&self, resolved: &Resolved, too_many: bool) -> String {
        let secret = |kind: &MethodKind| matches!(kind, MethodKind::Password | MethodKind::KeyboardInteractive);
        let by_password = self.accepts.iter().flatten().any(secret);
        if too_many {
            return format!(
                "name the one key for this host: IdentityFile and \"IdentitiesOnly yes\" under \"Host {}\" in ssh_config",
                resolved.name
            );
        }
        if !self.taken.is_empty() && by_password {
            return "answer on a terminal, or give the password with --password-file FILE (or --ask-pass)".to_owned();
        }
        if self.offered.is_empty() && self.passed_over.is_empty() && !by_password {
            return "make a key with \"ssh-keygen -t ed25519\" and put it on the host with \"ssh-copy-id {to}\""
                .to_owned();
        }
        if by_password {
            return "put a key on the host with \"ssh-copy-id {to}\", or log in by password: on a terminal, with --ask-pass \
                    or --password-file FILE"
                .to_owned();
        }
        "try \"ssh {to}\"; a key is put on the host with \"ssh-copy-id {to}\", run from where the login works"
            .to_owned()
    }
}

/// `a, b and c`, or the first few and how many more.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] if names.len() <= NAMED => format!("{} and {last}", most.join(", ")),
        _ => format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED),
    }
}
