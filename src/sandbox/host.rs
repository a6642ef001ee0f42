//! One host: its folders, its environment, its commands.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::keys::{PublicKey, ssh_key::public::KeyData};

use super::{
    children::{Children, MARK},
    layout,
    toolchain::Toolchain,
};

/// What all connections of one host share.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) home: PathBuf,
    pub(super) tmp: Arc<Path>,
    prefix_bin: PathBuf,
    /// All that a command gets, what its connection adds aside.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// Soft and hard limit of open files as they were before this process raised its own.
    pub(super) file_limit: Option<(u64, u64)>,
    pub(super) authorized: KeyData,
    pub(super) children: Arc<Children>,
}

/// What all hosts of a sandbox share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) user: String,
    pub(super) toolchain: Toolchain,
    pub(super) file_limit: Option<(u64, u64)>,
    pub(super) authorized: PublicKey,
    pub(super) children: Arc<Children>,
}

impl Host {
    pub(super) fn new(dir: &Path, name: &str, common: &Common) -> Self {
        let root = layout::host(dir, name);
        let home = root.join("home");
        let tmp = root.join("tmp");
        let prefix = root.join("prefix");
        let prefix_bin = prefix.join("bin");
        let mut path = prefix_bin.clone().into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        let mut environment = vec![
            ("HOME", home.clone().into()),
            ("USER", common.user.clone().into()),
            ("LOGNAME", common.user.clone().into()),
            ("SHELL", "/bin/sh".into()),
            ("TMPDIR", tmp.clone().into()),
            ("PATH", path),
            (MARK, prefix.into()),
        ];
        environment.extend(common.toolchain.variables());
        Self {
            name: name.to_owned(),
            home,
            tmp: tmp.into(),
            prefix_bin,
            environment,
            file_limit: common.file_limit,
            authorized: common.authorized.key_data().clone(),
            children: Arc::clone(&common.children),
        }
    }

    pub(super) fn make_folders(&self) -> io::Result<()> {
        for folder in [&*self.home, &*self.tmp, &*self.prefix_bin] {
            if !folder.is_dir() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
        }
        Ok(())
    }

    /// Whether `key` is the one that may log in; its comment does not count.
    pub(super) fn admits(&self, key: &PublicKey) -> bool {
        *key.key_data() == self.authorized
    }
}
