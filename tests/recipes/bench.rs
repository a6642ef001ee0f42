//! A folder to write a recipe in, a folder to build it in, and what came of it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use rbee::{
    build::{BuildError, Built, Fetched, Pin, Staged, stage},
    catalog::Catalog,
    recipe::{Environment, Evaluated},
    scope::{Cancel, Scope, events},
    target::{Captured, Output},
    vocab::{RecipeMeta, RunId, Stream, facts::Arch},
};
use sha2::{Digest as _, Sha256};

use crate::plain_target::PlainTarget;

/// A recipe's folder, a work folder, and everything to build one in the other.
pub struct Bench {
    pub root: tempfile::TempDir,
    pub environment: Environment,
    pub target: PlainTarget,
    /// What its build has printed so far.
    pub printed: Arc<Mutex<String>>,
}

/// Keeps what is printed where others can see it at once.
struct Heard(Arc<Mutex<String>>);

#[async_trait]
impl Output for Heard {
    async fn chunk(&mut self, _: Stream, bytes: &[u8]) {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
    }
}

/// What a build came to, with all that was printed on the way.
pub struct Ended {
    pub result: Result<Built, BuildError>,
    pub pins: Vec<Pin>,
    pub unverified: Vec<String>,
    pub printed: String,
}

impl Ended {
    pub fn error(&self) -> String {
        match &self.result {
            Ok(built) => panic!("it was built: {built:?}\n{}", self.printed),
            Err(error) => error.to_string(),
        }
    }

    pub fn built(&self) -> &Built {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error}\n{}", self.printed))
    }
}

impl Bench {
    pub fn new(pkgbuild: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Blanks and quotes, as a user's own folders have them.
        let folder = root.path().join("the recipe");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("PKGBUILD"), pkgbuild).unwrap();
        let environment = Environment { arch: Arch::X86_64, jobs: 2, ..Environment::default() };
        let mut target = PlainTarget::default();
        target.variables.push(("XDG_CACHE_HOME".into(), root.path().join("the cache").to_str().unwrap().into()));
        Self { root, environment, target, printed: Arc::default() }
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        fs::write(self.folder().join(name), content).unwrap();
        self
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("the recipe")
    }

    pub fn recipe(&self) -> RecipeMeta {
        let entry = self.folder().join("worker.toml");
        if !entry.exists() {
            fs::write(entry, "id = 'probe'").unwrap();
        }
        Catalog::default().resolve(self.folder().to_str().unwrap()).unwrap()
    }

    /// Takes the sources' cache of another bench.
    pub fn caching_with(mut self, other: &Self) -> Self {
        self.target.variables.retain(|(name, _)| name != "XDG_CACHE_HOME");
        self.target
            .variables
            .extend(other.target.variables.iter().filter(|(name, _)| name == "XDG_CACHE_HOME").cloned());
        self
    }

    /// A PATH without these programs.
    pub fn leave_out(&mut self, programs: &[&str]) {
        let tools = self.root.path().join("tools");
        fs::create_dir(&tools).unwrap();
        for folder in ["/usr/local/bin", "/bin", "/usr/bin"] {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let (name, place) = (entry.file_name(), tools.join(entry.file_name()));
                if !programs.iter().any(|program| name == *program) && !place.exists() {
                    let _ = std::os::unix::fs::symlink(entry.path(), place);
                }
            }
        }
        self.target.variables.push(("PATH".into(), tools.to_str().unwrap().into()));
    }

    pub fn work(&self) -> PathBuf {
        self.root.path().join("it's work")
    }

    pub async fn staged<'a>(&'a self, scope: &Scope, recipe: &RecipeMeta) -> Staged<'a> {
        fs::create_dir(self.work()).unwrap();
        fs::set_permissions(self.work(), fs::Permissions::from_mode(0o700)).unwrap();
        stage(scope, &self.target, recipe, &self.environment, self.work().to_str().unwrap()).await.unwrap()
    }

    pub async fn build(&self) -> Ended {
        self.build_recipe(&self.recipe()).await
    }

    pub async fn build_recipe(&self, recipe: &RecipeMeta) -> Ended {
        let scope = scope();
        let staged = self.staged(&scope, recipe).await;
        let mut output = Heard(self.printed.clone());
        let (mut pins, mut unverified) = (Vec::new(), Vec::new());
        let result = async {
            Fetched { pins, unverified } = staged.fetch(&scope, &mut output).await?;
            staged.build(&scope, &mut output).await?;
            staged.package(&scope, &mut output).await
        }
        .await;
        let printed = std::mem::take(&mut *self.printed.lock().unwrap());
        Ended { result, pins, unverified, printed }
    }

    /// Runs all phases; the trees of the packages are in `pkg/` of the work folder then. Also what was printed.
    pub async fn trees(&self) -> (Result<(), BuildError>, String) {
        let scope = scope();
        let staged = self.staged(&scope, &self.recipe()).await;
        let mut output = Captured::default();
        let result = async {
            staged.fetch(&scope, &mut output).await?;
            staged.build(&scope, &mut output).await?;
            staged.package_trees(&scope, &mut output).await.map(drop)
        }
        .await;
        (result, output.text() + &String::from_utf8_lossy(&output.stderr))
    }

    pub async fn evaluate(&self) -> Result<Evaluated, BuildError> {
        let scope = scope();
        let staged = self.staged(&scope, &self.recipe()).await;
        staged.evaluate(&scope, &mut Captured::default()).await
    }
}

pub fn scope() -> Scope {
    let (emitter, _) = events(RunId::new("test").unwrap());
    Scope::new(Cancel::new(), emitter)
}

/// A whole PKGBUILD around the lines that a test is about.
pub fn pkgbuild(lines: &str) -> String {
    let head = "pkgname=probe\npkgver=1.0\npkgrel=1\narch=('x86_64')\n";
    let install =
        "mkdir -p \"$pkgdir/usr/bin\"; printf 'hello' > \"$pkgdir/usr/bin/probe\"; chmod 755 \"$pkgdir/usr/bin/probe\"";
    format!("{head}_install() {{ {install}; }}\npackage() {{ _install; }}\n{lines}\n")
}

pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
