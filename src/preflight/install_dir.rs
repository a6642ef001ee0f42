//! Decides where a program goes, and what makes it found there.

use crate::vocab::{Facts, facts::Os, text::sh_quote};

/// For whom a program is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallScope {
    /// `~/.local/bin`
    User,
    /// `/usr/local/bin`
    System,
}

/// Where a program goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallDir {
    /// Absolute folder of the program.
    pub bin: String,
    /// Absolute folder of manifests and store.
    pub data: String,
    pub scope: InstallScope,
    /// Its file operations need sudo.
    pub sudo: bool,
    /// Whether a command over SSH finds programs there.
    pub on_path: bool,
    /// What would make them found; `None` when they are, or when no line for this shell is known.
    pub path_fix: Option<PathFix>,
}

impl InstallDir {
    /// "/usr/local/bin through sudo".
    pub fn words(&self) -> String {
        format!("{}{}", self.bin, if self.sudo { " through sudo" } else { "" })
    }
}

/// One line for one rc file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFix {
    pub line: String,
    /// Absolute.
    pub file: String,
}

/// Why there is no folder to install to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoInstallDir {
    #[error("{0} is not writable, and there is no sudo")]
    NoSudo(String),
    #[error("{0} is not writable, and there is doas but no sudo, which is all that is supported")]
    OnlyDoas(String),
    #[error("{0} is not writable, not even for root")]
    ReadOnly(String),
    #[error("neither {system} nor {user} is writable")]
    Neither { system: String, user: String },
}

/// Chooses the folder: the system's when `system` asks for it or when it is writable, else the user's.
///
/// # Errors
/// When nothing is writable, or the system's folder was asked for and cannot be had.
pub fn choose(facts: &Facts, system: bool) -> Result<InstallDir, NoInstallDir> {
    let dirs = &facts.dirs;
    let mine = |scope, sudo| {
        let (bin, data) = match scope {
            InstallScope::User => (&dirs.user_bin, &dirs.data),
            InstallScope::System => (&dirs.system_bin, &dirs.system_data),
        };
        let on_path = facts.path.iter().any(|dir| dir.trim_end_matches('/') == bin.trim_end_matches('/'));
        let path_fix = if on_path { None } else { path_fix(facts, bin) };
        InstallDir { bin: bin.clone(), data: data.clone(), scope, sudo, on_path, path_fix }
    };
    if facts.system_bin.is_ok() {
        return Ok(mine(InstallScope::System, false));
    }
    if system {
        // What sudo grants is asked only where root is needed, and for what: see `install::sudo`.
        return match (facts.uid, facts.tool("sudo"), facts.tool("doas")) {
            (Some(0), ..) => Err(NoInstallDir::ReadOnly(dirs.system_bin.clone())),
            (_, Some(_), _) => Ok(mine(InstallScope::System, true)),
            (_, None, Some(_)) => Err(NoInstallDir::OnlyDoas(dirs.system_bin.clone())),
            (_, None, None) => Err(NoInstallDir::NoSudo(dirs.system_bin.clone())),
        };
    }
    match facts.user_bin.is_ok() {
        true => Ok(mine(InstallScope::User, false)),
        false => Err(NoInstallDir::Neither { system: dirs.system_bin.clone(), user: dirs.user_bin.clone() }),
    }
}

/// The line that puts `dir` first on the PATH of the host's login shell, and the file it belongs to.
fn path_fix(facts: &Facts, dir: &str) -> Option<PathFix> {
    let home = facts.home.trim_end_matches('/');
    let (written, rest) = match dir.strip_prefix(home).filter(|rest| !home.is_empty() && rest.starts_with('/')) {
        Some(rest) => (format!("$HOME{rest}"), rest),
        None => (dir.to_owned(), dir),
    };
    // Shells disagree on how to quote the rest.
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b)) {
        return None;
    }
    let posix = || format!("export PATH=\"{written}:$PATH\"");
    let (line, file) = match facts.login_shell.as_deref()? {
        // Terminals of macOS start login shells, which do not read .bashrc.
        "bash" if facts.os == Os::MacOs => (posix(), ".bash_profile"),
        "bash" => (posix(), ".bashrc"),
        "zsh" => (posix(), ".zshrc"),
        "sh" | "dash" | "ash" | "ksh" | "mksh" => (posix(), ".profile"),
        "fish" => {
            (format!("contains \"{written}\" $PATH; or set -gx PATH \"{written}\" $PATH"), ".config/fish/config.fish")
        }
        "csh" | "tcsh" => (format!("setenv PATH \"{written}:$PATH\""), ".cshrc"),
        _ => return None,
    };
    Some(PathFix { line, file: format!("{home}/{file}") })
}

impl PathFix {
    /// POSIX sh that appends the line to the file, unless it is there already.
    pub fn script(&self) -> String {
        let (line, file) = (sh_quote(&self.line), sh_quote(&self.file));
        let folder = self.file.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let folder = sh_quote(folder);
        // A last line without its end must not be joined with ours.
        format!(
            "mkdir -p {folder} && {{ grep -qxF -e {line} {file} 2>/dev/null || {{\n\
             if [ -s {file} ] && [ -n \"$(tail -c 1 {file})\" ]; then echo >>{file}; fi\n\
             printf '%s\\n' {line} >>{file}; }}; }}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::facts::{HostDirs, Tool, Writable};

    fn facts(shell: &str) -> Facts {
        Facts {
            os: Os::Linux,
            home: "/home/ada".into(),
            login_shell: Some(shell.into()),
            path: vec!["/usr/local/bin/".into(), "/usr/bin".into()],
            dirs: HostDirs {
                user_bin: "/home/ada/.local/bin".into(),
                system_bin: "/usr/local/bin".into(),
                data: "/home/ada/.local/share/rbee".into(),
                system_data: "/usr/local/share/rbee".into(),
                ..HostDirs::default()
            },
            user_bin: Writable::Creatable,
            ..Facts::default()
        }
    }

    #[test]
    fn the_systems_folder_comes_first_when_it_is_writable() {
        let dir = choose(&Facts { system_bin: Writable::Yes, ..facts("bash") }, false).unwrap();
        assert_eq!((dir.scope, dir.sudo, dir.on_path, dir.path_fix), (InstallScope::System, false, true, None));
        assert_eq!(dir.data, "/usr/local/share/rbee");
        let dir = choose(&facts("bash"), false).unwrap();
        assert_eq!((dir.scope, dir.bin.as_str(), dir.on_path), (InstallScope::User, "/home/ada/.local/bin", false));
        let neither = Facts { user_bin: Writable::No, ..facts("bash") };
        assert_eq!(
            choose(&neither, false).unwrap_err().to_string(),
            "neither /usr/local/bin nor /home/ada/.local/bin is writable"
        );
    }

    #[test]
    fn system_is_never_turned_into_user() {
        let with = |uid, tools: &[&str]| {
            let tools = tools.iter().map(|name| ((*name).to_owned(), Tool::default())).collect();
            choose(&Facts { uid: Some(uid), tools, ..facts("bash") }, true)
        };
        let dir = with(1000, &["sudo", "doas"]).unwrap();
        assert_eq!((dir.sudo, dir.bin.as_str()), (true, "/usr/local/bin"));
        assert_eq!(with(1000, &["doas"]), Err(NoInstallDir::OnlyDoas("/usr/local/bin".into())));
        assert_eq!(with(1000, &[]), Err(NoInstallDir::NoSudo("/usr/local/bin".into())));
        assert_eq!(with(0, &["sudo"]), Err(NoInstallDir::ReadOnly("/usr/local/bin".into())));
    }

    #[test]
    fn each_shell_has_its_line_and_its_file() {
        let fix = |facts: Facts| choose(&facts, false).unwrap().path_fix.map(|fix| (fix.line, fix.file));
        let posix = r#"export PATH="$HOME/.local/bin:$PATH""#.to_owned();
        assert_eq!(fix(facts("bash")), Some((posix.clone(), "/home/ada/.bashrc".into())));
        assert_eq!(
            fix(Facts { os: Os::MacOs, ..facts("bash") }),
            Some((posix.clone(), "/home/ada/.bash_profile".into()))
        );
        assert_eq!(fix(facts("zsh")), Some((posix.clone(), "/home/ada/.zshrc".into())));
        assert_eq!(fix(facts("dash")), Some((posix, "/home/ada/.profile".into())));
        let (line, file) = fix(facts("fish")).unwrap();
        assert_eq!(line, r#"contains "$HOME/.local/bin" $PATH; or set -gx PATH "$HOME/.local/bin" $PATH"#);
        assert_eq!(file, "/home/ada/.config/fish/config.fish");
        assert_eq!(fix(facts("tcsh")).unwrap().0, r#"setenv PATH "$HOME/.local/bin:$PATH""#);
        assert_eq!(fix(facts("nologin")), None);
    }

    #[test]
    fn the_line_is_appended_once_and_on_a_line_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("it's/.bashrc");
        let fix = PathFix { line: r#"export PATH="$HOME/.local/bin:$PATH""#.into(), file: file.display().to_string() };
        let run = || {
            let status = std::process::Command::new("/bin/sh").arg("-c").arg(fix.script()).status().unwrap();
            assert!(status.success());
            std::fs::read_to_string(&file).unwrap()
        };
        assert_eq!(run(), format!("{}\n", fix.line));
        std::fs::write(&file, "alias ll='ls -l'").unwrap();
        let once = run();
        assert_eq!(once, format!("alias ll='ls -l'\n{}\n", fix.line));
        assert_eq!(run(), once);
    }
}
