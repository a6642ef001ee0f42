//! A recipe in its work folder, and the phases it goes through.

use bytes::Bytes;

use super::{
    BuildError, Built,
    program::{Packages, measure_script, only_program, parse_measure},
    tree::tree,
};
use crate::{
    recipe::{DRIVER, Environment, Evaluated, PhaseResult, RecipePhase, parse_result, path_line, result_script},
    scope::Scope,
    target::{Captured, Command, Output, Source, Target, TargetError},
    vocab::{Digest, Phase, RecipeMeta, WorkerId, text::sh_quote},
};

/// Bytes that one chunk of an upload has.
const CHUNK: usize = 64 << 10;

/// Statuses of our own scripts, far from those of a tool that fails in them.
const NO_TAR: i32 = 91;
const NO_BASH: i32 = 92;
const NO_FOLDER: i32 = 93;

/// The driver's status for a source that could not be had from where it ran.
const UNREACHABLE: i32 = 69;

/// What a fetch has to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    pub pins: Vec<Pin>,
    /// Sources that nothing checks, each with why: "file.bin (SKIP)".
    pub unverified: Vec<String>,
}

impl Fetched {
    /// Reads the driver's records: how many are not checked, those, and the pins in pairs.
    fn read(records: &[String]) -> Option<Self> {
        let (count, rest) = records.split_first()?;
        let (unverified, pins) = rest.split_at_checked(count.parse().ok()?)?;
        let pins = pins.chunks_exact(2).map(|pair| Pin { name: pair[0].clone(), commit: pair[1].clone() }).collect();
        Some(Self { pins, unverified: unverified.to_vec() })
    }
}

/// The exact commit that a git source had when it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The source's folder in `$srcdir`.
    pub name: String,
    pub commit: String,
}

/// A recipe that lies, with its driver, in a work folder on a target.
pub struct Staged<'t> {
    pub(super) target: &'t dyn Target,
    pub(super) work: String,
    pub(super) path: Vec<String>,
    worker: WorkerId,
    entry: Option<String>,
}

/// Puts a recipe into `work`, an existing folder (absolute, 0700, the caller's scratch) with nothing in it.
///
/// # Errors
/// [`BuildError::Missing`] when the host has no bash or no tar.
pub async fn stage<'t>(
    scope: &Scope,
    target: &'t dyn Target,
    recipe: &RecipeMeta,
    environment: &Environment,
    work: &str,
) -> Result<Staged<'t>, BuildError> {
    let archive = pack(recipe, &environment.script()?).map_err(|error| TargetError::Local(error.to_string()))?;
    let staged = Staged {
        target,
        work: work.to_owned(),
        path: environment.path.clone(),
        worker: recipe.worker.id.clone(),
        entry: recipe.worker.entry.clone(),
    };
    // Asked first: without them the upload would be for nothing.
    staged
        .own(
            scope,
            "look for bash and tar",
            &format!(
                "command -v tar >/dev/null 2>&1 || exit {NO_TAR}\n\
                 command -v bash >/dev/null 2>&1 || exit {NO_BASH}\n\
                 cd -- \"$work\" || exit {NO_FOLDER}\n"
            ),
        )
        .await?;
    target.put(scope, &format!("{work}/recipe.tar"), &mut InMemory::from(archive)).await?;
    // Without -o, root would give the files to whoever the archive names.
    let script = "cd -- \"$work\" && tar -xof recipe.tar && rm -f recipe.tar\n";
    staged.own(scope, "unpack the recipe", script).await?;
    Ok(staged)
}

impl Staged<'_> {
    /// Reads the recipe as bash does, for its author; gets and builds nothing.
    ///
    /// # Errors
    /// [`BuildError::Failed`] with what bash found wrong.
    pub async fn evaluate(&self, scope: &Scope, output: &mut dyn Output) -> Result<Evaluated, BuildError> {
        let records = self.phase(scope, RecipePhase::Eval, Phase::Fetch, output).await?;
        Evaluated::parse(&records).ok_or_else(|| BuildError::failed(Phase::Fetch, "the recipe's metadata is garbled"))
    }

    /// Gets and checks all sources, or what was [given](Staged::give); tells which commits the git ones are.
    ///
    /// # Errors
    /// [`BuildError::Failed`] naming the source, [`BuildError::Unreachable`] where it might be had elsewhere.
    pub async fn fetch(&self, scope: &Scope, output: &mut dyn Output) -> Result<Fetched, BuildError> {
        self.fetched(scope, RecipePhase::Fetch, output).await
    }

    /// Gets and checks all sources and leaves them as one archive at [`Staged::archive`], for a build elsewhere.
    ///
    /// # Errors
    /// As [`Staged::fetch`].
    pub async fn gather(&self, scope: &Scope, output: &mut dyn Output) -> Result<Fetched, BuildError> {
        self.fetched(scope, RecipePhase::Gather, output).await
    }

    /// Where an archive of sources lies when it was gathered, and is put to be given.
    pub fn archive(&self) -> String {
        format!("{}/sources.tar", self.work)
    }

    /// Takes the archive that was put at [`Staged::archive`] for all sources: nothing is fetched from then on.
    ///
    /// # Errors
    /// It cannot be unpacked.
    pub async fn give(&self, scope: &Scope) -> Result<(), BuildError> {
        let script = "cd -- \"$work\" && mkdir given && tar -xof sources.tar -C given && rm -f sources.tar\n";
        self.own(scope, "unpack the sources", script).await.map(drop)
    }

    async fn fetched(&self, scope: &Scope, phase: RecipePhase, output: &mut dyn Output) -> Result<Fetched, BuildError> {
        let records = self.phase(scope, phase, Phase::Fetch, output).await?;
        Fetched::read(&records).ok_or_else(|| BuildError::failed(Phase::Fetch, "the result of the fetch is garbled"))
    }

    /// Runs `prepare()`, `pkgver()` and `build()`, as far as the recipe has them.
    ///
    /// # Errors
    /// [`BuildError::Failed`] naming the function.
    pub async fn build(&self, scope: &Scope, output: &mut dyn Output) -> Result<(), BuildError> {
        self.phase(scope, RecipePhase::Build, Phase::Build, output).await.map(drop)
    }

    /// Runs the packages' functions; their trees are then in `pkg/` of the work folder, a folder each.
    ///
    /// # Errors
    /// [`BuildError::Failed`] naming the function.
    pub async fn package_trees(&self, scope: &Scope, output: &mut dyn Output) -> Result<Packages, BuildError> {
        let records = self.phase(scope, RecipePhase::Package, Phase::Package, output).await?;
        Packages::read(&records)
    }

    /// Runs the packages' functions, finds the program or the tree that they installed, and measures it.
    ///
    /// # Errors
    /// [`BuildError::Failed`] when there is none, or more than one without a common tree.
    pub async fn package(&self, scope: &Scope, output: &mut dyn Output) -> Result<Built, BuildError> {
        let packages = self.package_trees(scope, output).await?;
        if let Some(name) = packages.of(self.worker.as_str()) {
            let version = packages.usable_version()?;
            let folder = format!("{}/pkg/{name}", self.work);
            let path = format!("{}/package.tar", self.work);
            let found = tree(scope, self.target, &folder, &path, &self.worker, self.entry.as_deref()).await?;
            if let Some(mark) = found {
                let program = mark.entry.trim_start_matches("bin/").to_owned();
                let (size, digest) = self.measure(scope, &path).await?;
                return Ok(Built { program, path, tree: Some(mark), size, digest, version });
            }
        }
        let (version, file) = only_program(&packages, self.worker.as_str())?;
        let program = file.rsplit('/').next().unwrap_or(&file).to_owned();
        let path = format!("{}/pkg/{file}", self.work);
        let (size, digest) = self.measure(scope, &path).await?;
        Ok(Built { program, path, tree: None, size, digest, version })
    }

    /// Size and sha256 of a file.
    async fn measure(&self, scope: &Scope, path: &str) -> Result<(u64, Digest), BuildError> {
        let mut said = Captured::default();
        let script = measure_script(&self.path, &sh_quote(path));
        let exit = self.target.run(scope, &Command::own("measure the program", script), &mut said).await?;
        let measured = if exit.status == 0 { parse_measure(&said.text()) } else { None };
        measured.ok_or_else(|| {
            let text = match exit.status {
                5 => "no sha256sum, shasum or openssl on the host to hash the program with".to_owned(),
                status => format!("the program could not be read (status {status}) {}", said.last_words()),
            };
            BuildError::failed(Phase::Package, text.trim_end())
        })
    }

    /// Runs the driver for one phase and reads what it left.
    async fn phase(
        &self,
        scope: &Scope,
        phase: RecipePhase,
        reported: Phase,
        output: &mut dyn Output,
    ) -> Result<Vec<String>, BuildError> {
        let script = format!(
            "{}exec bash {} {} {}\n",
            path_line(&self.path),
            sh_quote(&format!("{}/driver.bash", self.work)),
            phase.as_str(),
            sh_quote(&self.work)
        );
        // Bash would read this file before the driver, and take these options.
        let script = format!("unset BASH_ENV ENV\necho $$ >{}/session\n{script}", sh_quote(&self.work));
        let exit = self.target.run(scope, &Command::foreign(phase.as_str(), script), output).await?;
        let left = self.own(scope, "read the result", &result_script(phase)).await?;
        if left.truncated {
            return Err(BuildError::failed(reported, "the recipe left more results than can be read"));
        }
        match parse_result(&left.stdout, exit.status) {
            PhaseResult::Done(records) => Ok(records),
            PhaseResult::Failed(text) if exit.status == UNREACHABLE && reported == Phase::Fetch => {
                Err(BuildError::Unreachable { text })
            }
            PhaseResult::Failed(text) => Err(BuildError::failed(reported, text)),
        }
    }

    /// Runs a short script of our own, with `$work` set; a status other than zero is an error.
    async fn own(&self, scope: &Scope, label: &str, script: &str) -> Result<Captured, BuildError> {
        let script = format!("{}work={}\n{script}", path_line(&self.path), sh_quote(&self.work));
        let mut said = Captured::default();
        let exit = self.target.run(scope, &Command::own(label, script), &mut said).await?;
        let missing = |what: &str| BuildError::Missing {
            text: format!("no {what} on the host: builds need {what}"),
            hint: format!("install {what}, build elsewhere, or install a finished program with --binary"),
        };
        match exit.status {
            0 => Ok(said),
            NO_TAR => Err(missing("tar")),
            NO_BASH => Err(missing("bash")),
            status => {
                let text = format!("cannot {label} (status {status}) {}", said.last_words());
                Err(TargetError::Host(text.trim_end().to_owned()).into())
            }
        }
    }
}

/// One archive of everything that goes into the work folder.
fn pack(recipe: &RecipeMeta, environment: &str) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        // Any moment in the past; tar warns of the very first ones.
        header.set_mtime(1_000_000_000);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, path, content)
    };
    add("driver.bash", 0o600, DRIVER.as_bytes())?;
    // The inventory's variables may be secrets.
    add("environment", 0o600, environment.as_bytes())?;
    for file in &recipe.files {
        let mode = if file.executable { 0o755 } else { 0o644 };
        add(&format!("recipe/{}", file.path), mode, &file.content)?;
    }
    archive.into_inner()
}

pub(super) struct InMemory {
    length: u64,
    rest: Bytes,
}

impl From<Vec<u8>> for InMemory {
    fn from(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len() as u64, rest: bytes.into() }
    }
}

#[async_trait::async_trait]
impl Source for InMemory {
    fn size(&self) -> u64 {
        self.length
    }

    async fn next(&mut self) -> std::io::Result<Bytes> {
        Ok(self.rest.split_to(self.rest.len().min(CHUNK)))
    }
}
