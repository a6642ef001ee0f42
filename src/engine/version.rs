//! `ID@VERSION`: whether that version is built, is there, or is kept and only has to be activated.

use super::{
    Failure, Run, plan, query,
    query::{Held, InstalledState},
    request::{InstallRequest, Wanted},
};
use crate::{
    scope::Scope,
    target::Target,
    vocab::{Facts, Manifest, Phase, WorkerId},
};

/// How a host comes to what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// As the catalog has it.
    Install,
    /// It is there.
    There(Box<Manifest>),
    /// The host has kept it; nothing is built. With the words for a plan.
    Back(WorkerId, String),
}

/// Takes `ID@VERSION` apart; what is a path, or has no version, is `None`.
///
/// # Errors
/// A sentence, when what stands behind the `@` is no version.
pub fn split(argument: &str) -> Result<Option<(&str, &str)>, String> {
    let Some((name, version)) = argument.rsplit_once('@').filter(|_| !argument.contains('/')) else { return Ok(None) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".+-_:~".contains(&b);
    if version.is_empty() || version.len() > 128 || !version.bytes().all(plain) {
        return Err(format!("{version:?} is no version: write it as ID@1.2.3"));
    }
    Ok(Some((name, version)))
}

/// Decides how the host comes to the version that the request names, if it names one.
pub(super) async fn way(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    facts: &Facts,
    request: &InstallRequest,
) -> Result<Way, Failure> {
    let Some(Wanted::Versioned { name, version }) = &request.worker else { return Ok(Way::Install) };
    let pick = plan::picked(&run.catalog, name, facts, request);
    // What no catalog has any more may still be on the host.
    let id = match &pick {
        Ok(pick) => pick.worker.clone(),
        Err(why) => WorkerId::new(name).map_err(|_| Failure::refused(why.clone(), None))?,
    };
    let offered = pick.is_ok().then(|| run.catalog.list().find(|listed| listed.worker.id == id)).flatten();
    let offered = offered.and_then(|listed| listed.version.as_deref());
    let limited = scope.in_phase(Phase::Preflight).within("versions", run.settings.limits.short * 4);
    let held = query::held(&limited, target, facts, &id).await.map_err(|error| error.in_phase(Phase::Preflight))?;
    match (choose(&id, version, offered, &held), pick) {
        (Err(_), Err(why)) if held.is_empty() => Err(Failure::refused(why, None)),
        (Err(text), _) => Err(Failure::refused(text, None)),
        (Ok(way), _) => Ok(way),
    }
}

/// The catalog's before what is there, what is there before what is kept.
fn choose(id: &WorkerId, version: &str, offered: Option<&str>, held: &[Held]) -> Result<Way, String> {
    if offered.is_some_and(|offered| same(offered, version)) {
        return Ok(Way::Install);
    }
    let intact = |held: &&Held| held.status.state == InstalledState::Intact;
    if let Some(found) = held.iter().filter(intact).find(|held| same(&held.status.manifest.version, version)) {
        return Ok(Way::There(Box::new(found.status.manifest.clone())));
    }
    let kept = |held: &Held| held.kept.as_ref().filter(|kept| same(&kept.version, version)).cloned();
    if let Some((found, kept)) = held.iter().find_map(|held| Some((held, kept(held)?))) {
        let words = format!("go back to {}, which is kept, from {}", kept.version, found.status.manifest.version);
        return Ok(Way::Back(id.clone(), words));
    }
    let mut there = vec![format!("the catalog has {}", offered.unwrap_or("none that it tells"))];
    for one in held {
        there.push(format!("{} is installed", one.status.manifest.version));
        there.extend(one.kept.as_ref().map(|kept| format!("{} is kept", kept.version)));
    }
    Err(format!("there is no {id} {version}: {}", there.join(", ")))
}

/// What is said of a version that is there already.
pub(super) fn there(manifest: &Manifest) -> String {
    format!("{} {} is there ({})", manifest.worker, manifest.version, manifest.path)
}

/// Whether two versions are one; a release number that only one of them has says nothing.
fn same(one: &str, other: &str) -> bool {
    let release = |rest: &str| {
        let number = rest.strip_prefix('-');
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    one == other || one.strip_prefix(other).or_else(|| other.strip_prefix(one)).is_some_and(release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::WorkerStatus,
        vocab::{BuildKey, Digest},
    };

    fn manifest(version: &str) -> Manifest {
        Manifest {
            worker: WorkerId::new("w").unwrap(),
            version: version.into(),
            class: None,
            entry: None,
            key: BuildKey(Digest::new([0; 32])),
            digest: Digest::new([0; 32]),
            size: 1,
            path: "/x/w".into(),
            origin: "built in".into(),
            run: "r".into(),
            installed_at: "2026-01-01T00:00:00Z".into(),
            previous: None,
        }
    }

    fn held(version: &str, state: InstalledState, kept: Option<&str>) -> Held {
        let status = WorkerStatus { manifest: manifest(version), state };
        Held { status, kept: kept.map(manifest), running: Vec::new() }
    }

    #[test]
    fn a_version_is_taken_from_where_it_is() {
        let id = WorkerId::new("w").unwrap();
        let there = [held("2.0-1", InstalledState::Intact, Some("1.0-3"))];
        let way = |version, offered, held: &[Held]| choose(&id, version, offered, held);
        assert_eq!(way("3.0", Some("3.0"), &there), Ok(Way::Install));
        assert_eq!(way("2.0", Some("2.0"), &there), Ok(Way::Install));
        assert!(matches!(way("2.0", Some("3.0"), &there), Ok(Way::There(_))));
        assert!(matches!(way("1.0-3", None, &there), Ok(Way::Back(..))));
        let said = way("4.0", Some("3.0"), &there).unwrap_err();
        assert_eq!(said, "there is no w 4.0: the catalog has 3.0, 2.0-1 is installed, 1.0-3 is kept");
        assert!(way("2.0", None, &[held("2.0-1", InstalledState::Missing, None)]).is_err());
        assert!(way("1", Some("1.0"), &[]).is_err(), "the beginning of a version is another version");
    }

    #[test]
    fn an_argument_is_taken_apart_only_where_it_has_a_version() {
        assert_eq!(split("w@1.2-3"), Ok(Some(("w", "1.2-3"))));
        assert_eq!(split("w"), Ok(None));
        assert_eq!(split("./a@b"), Ok(None));
        assert!(split("w@").is_err() && split("w@1\u{1b}[m").is_err() && split("w@$(x)").is_err());
    }
}
