//! Finds out what sudo grants, and changes nothing by that.
//!
//! Only who needs root is asked about it: each question is an entry in the host's log, and for a user whom sudoers does
//! not know it may be a mail to whoever administers the host. The question is one of the pinned operations itself,
//! which takes the sha256 of `/dev/null` and of a part: rights for anything else say nothing. `-n` never prompts, and
//! `-k` beside a command neither uses nor notes that a password was given. Where sudo would mark the first success of an
//! administrator by a file in the home, preflight does not ask.

use super::pinned::{Places, Tools, line};
use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError},
    transfer::parse_digest,
    vocab::{Digest, text::sh_quote},
};

/// What sudo would do for the pinned operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// Without a question.
    Free,
    /// It wants a password, or does not say whether one would help.
    Password,
    /// It wants a terminal, which no password makes up for.
    Terminal,
    /// It was not asked, since its first success leaves a file in the home.
    Unasked,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub tools: Tools,
    pub right: Right,
    /// Sudo's own words, where it said no.
    pub words: String,
}

/// Why root cannot be had, whatever the password.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("there is no {0} on this host")]
    Missing(&'static str),
}

/// The sha256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Asks for each of `places`; `first_use` allows the mark of a first success.
///
/// # Errors
/// There is no sudo, or one of the tools is missing.
pub async fn ask(scope: &Scope, target: &dyn Target, places: &[Places], first_use: bool) -> Result<Asked, AskError> {
    let mut said = Captured::default();
    target.run(scope, &Command::own("sudo", find(first_use)), &mut said).await?;
    let tools = tools(&said.text())?;
    if said.text().lines().any(|line| line == "unasked") {
        return Ok(Asked { tools, right: Right::Unasked, words: String::new() });
    }
    let mut said = Captured::default();
    target.run(scope, &Command::foreign("sudo", try_each(&tools, places)), &mut said).await?;
    let (right, words) = judge(&said.text(), &String::from_utf8_lossy(&said.stderr), places.len());
    Ok(Asked { tools, right, words })
}

/// Prints where the tools are, in folders that only root writes to: PATH is the user's.
fn find(first_use: bool) -> String {
    let mark = match first_use {
        true => "",
        false => {
            "case \" $(id -Gn) \" in *' sudo '* | *' admin '*) [ -e \"$HOME/.sudo_as_admin_successful\" ] || echo unasked;; esac\n"
        }
    };
    format!(
        "at() {{ for d in /usr/bin /bin /usr/sbin /sbin /run/wrappers/bin /run/current-system/sw/bin $2; do\n\
         if [ -f \"$d/$1\" ] && [ -x \"$d/$1\" ]; then echo \"$1 $d/$1\"; return; fi; done; return 1; }}\n\
         at sudo /usr/local/bin\n\
         for t in sh install tee mv rm chmod; do at $t; done\n\
         at sha256sum || at shasum || at openssl\n{mark}:\n"
    )
}

/// Reads what [`find`] printed.
fn tools(text: &str) -> Result<Tools, AskError> {
    let path = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.filter(|path| path.starts_with('/') && !path.contains(char::is_control)).map(str::to_owned)
    };
    let need = |name: &'static str| path(name).ok_or(AskError::Missing(name));
    let sudo = need("sudo")?;
    let with = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        move |path: String| std::iter::once(path).chain(arguments).collect::<Vec<String>>()
    };
    let hash = path("sha256sum").map(with(&[]));
    let hash = hash.or_else(|| path("shasum").map(with(&["-a", "256"])));
    let hash = hash.or_else(|| path("openssl").map(with(&["dgst", "-sha256"])));
    Ok(Tools {
        sudo,
        sh: need("sh")?,
        install: need("install")?,
        tee: need("tee")?,
        mv: need("mv")?,
        rm: need("rm")?,
        chmod: need("chmod")?,
        hash: hash.ok_or(AskError::Missing("sha256sum"))?,
    })
}

/// Sudo in English, whatever the user speaks: its words are told, and some are understood.
pub(super) const ENGLISH: &str = "LC_ALL=C; LANGUAGE=; export LC_ALL LANGUAGE\n";

fn try_each(tools: &Tools, places: &[Places]) -> String {
    let mut script = ENGLISH.to_owned();
    for place in places {
        let hash = line(&place.operations(tools).hash);
        script.push_str(&format!("echo try; {} -k -n -- {hash}\n", sh_quote(&tools.sudo)));
    }
    script.push_str(":\n");
    script
}

/// Whether every try ran, and if not, what sudo had to say.
fn judge(stdout: &str, stderr: &str, tries: usize) -> (Right, String) {
    let empty = Digest::parse(EMPTY).ok();
    let mut ran = 0;
    for attempt in stdout.split("try\n").skip(1) {
        ran += usize::from(attempt.lines().any(|line| parse_digest(line) == empty && empty.is_some()));
    }
    if ran == tries {
        return (Right::Free, String::new());
    }
    let words = super::words(stderr);
    let right = if words.contains("tty") || words.contains("terminal is required") && words.contains("askpass") {
        Right::Terminal
    } else {
        Right::Password
    };
    (right, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{install::Layout, vocab::WorkerId};

    #[test]
    fn what_ran_is_known_by_what_it_printed() {
        let ran = format!("try\n{EMPTY}  /dev/null\n");
        assert_eq!(judge(&ran, "sha256sum: /usr/local/bin/.x.rbee: No such file or directory\n", 1).0, Right::Free);
        assert_eq!(judge(&format!("{ran}try\nSHA2-256(/dev/null)= {EMPTY}\n"), "", 2).0, Right::Free);
        let no = "sudo: a password is required\n";
        assert_eq!(judge(&format!("{ran}try\n"), no, 2), (Right::Password, "a password is required".into()));
        let tty = "sudo: sorry, you must have a tty to run sudo\n";
        assert_eq!(judge("try\n", tty, 1), (Right::Terminal, "sorry, you must have a tty to run sudo".into()));
        assert_eq!(judge("", "", 1), (Right::Password, "it said nothing".into()));
    }

    #[test]
    fn tools_are_absolute_or_missing() {
        let text = "sudo /usr/bin/sudo\nsh /bin/sh\ninstall /usr/bin/install\ntee /usr/bin/tee\nmv /bin/mv\nrm /bin/rm\n\
                    chmod /bin/chmod\nshasum /usr/bin/shasum\n";
        assert_eq!(tools(text).unwrap().hash, ["/usr/bin/shasum", "-a", "256"]);
        assert_eq!(tools(&text.replace("tee ", "tea ")).unwrap_err().to_string(), "there is no tee on this host");
        assert_eq!(tools("").unwrap_err().to_string(), "there is no sudo on this host");
        assert!(tools(&text.replace("/bin/mv", "bin/mv")).is_err());
    }

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        let text = "sudo /usr/bin/sudo\nsh /bin/sh\ninstall /usr/bin/install\ntee /usr/bin/tee\nmv /bin/mv\nrm /bin/rm\n\
                    chmod /bin/chmod\nsha256sum /usr/bin/sha256sum\n";
        let layout = Layout::new("/usr/local/bin", "/usr/local/share/rbee");
        let places = [Places::new(&layout, &WorkerId::new("echo-worker").unwrap(), "echo-worker")];
        insta::assert_snapshot!("find", find(false));
        insta::assert_snapshot!("try", try_each(&tools(text).unwrap(), &places));
    }
}
