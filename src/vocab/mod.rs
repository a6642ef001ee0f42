//! The words of the project as plain data: no I/O, no async, no wire format.
//!
//! Everything above speaks these types, so that a reader of events needs nothing else and a decision can be a pure
//! function of them.

pub mod artifact;
pub mod depends;
pub mod duration;
pub mod event;
pub mod facts;
pub mod host;
pub mod ids;
pub mod launch;
pub mod mirror;
pub mod outcome;
pub mod recipe;
pub mod secret;
pub mod settings;
pub mod text;
pub mod version;

pub use artifact::{Artifact, BuildKey, Digest, Manifest, TreeMark};
pub use depends::{Dependency, Needed};
pub use duration::parse_duration;
pub use event::{
    CancelStage, Event, EventKind, Forecast, HostReport, HostSummary, Level, Moved, Origin, Phase, Stream, Summary,
    Unit,
};
pub use facts::Facts;
pub use host::{Host, Route};
pub use ids::{HostName, InvalidName, RunId, WorkerId};
pub use launch::{Keeping, Launch, SpawnId, Spawned};
pub use mirror::{InvalidMirror, Mirror};
pub use outcome::{ExitCode, Outcome, Reason};
pub use recipe::{Accelerator, Needs, Prebuilt, RecipeMeta, Sigstore, WorkerMeta};
pub use secret::{HUB_TOKENS, Secret};
pub use settings::{Limits, Settings};
pub use version::vercmp;
