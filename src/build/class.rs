//! The class of machines that a build is good for: what makes the results of two builds interchangeable.

use std::{collections::BTreeSet, fmt};

use crate::vocab::{
    Accelerator, Facts,
    facts::{Arch, GpuKind, Libc, Os},
};

/// The machines that one build is for: "linux-x86_64 glibc 2.31 x86-64-v3 cuda 8.6,8.9".
///
/// Its text goes into the build key and into manifests, and [`Class::parse`] reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// "linux-x86_64".
    pub platform: String,
    pub base: Base,
    /// 1 to 4 of the x86-64 levels; other architectures have none.
    pub level: Option<u8>,
    pub accelerator: Accelerator,
    pub cards: Cards,
}

/// What a program finds on a machine whatever else is there: newer ones have all that older ones had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Glibc(u32, u32),
    Musl,
    /// By the major version.
    MacOs(u32),
    Unknown,
}

/// What the cards of a machine can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cards {
    /// None are needed, or all of a kind are alike.
    Any,
    /// CUDA compute capabilities.
    Compute(BTreeSet<(u32, u32)>),
    /// The host does not say; only a build of its own is sure to run.
    Unknown,
}

impl Class {
    /// The class of a machine by itself, for workers of a kind.
    pub fn of(accelerator: Accelerator, facts: &Facts) -> Self {
        let level = (facts.arch == Arch::X86_64).then(|| facts.cpu_level.unwrap_or(1).clamp(1, 4));
        let cards = match accelerator {
            Accelerator::Cpu | Accelerator::Metal => Cards::Any,
            Accelerator::Cuda => compute(facts),
            Accelerator::Rocm => Cards::Unknown,
        };
        Self { platform: facts.platform(), base: Base::of(facts), level, accelerator, cards }
    }

    /// Whether what was built for this class runs on every machine of `other`.
    pub fn serves(&self, other: &Self) -> bool {
        let cards = match (&self.cards, &other.cards) {
            (Cards::Any, Cards::Any) => true,
            (Cards::Compute(mine), Cards::Compute(theirs)) => mine.is_superset(theirs),
            _ => false,
        };
        cards
            && self.platform == other.platform
            && self.accelerator == other.accelerator
            && self.level <= other.level
            && self.base.runs_on(other.base)
    }

    /// Reads what [`Class`] displays; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').peekable();
        let platform = words.next()?.to_owned();
        let pair = |text: &str| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        let base = match words.peek().copied() {
            Some("glibc") => {
                words.next();
                let (major, minor) = pair(words.next()?)?;
                Base::Glibc(major, minor)
            }
            Some("musl") => words.next().map(|_| Base::Musl)?,
            Some("macos") => {
                words.next();
                Base::MacOs(words.next()?.parse().ok()?)
            }
            _ => Base::Unknown,
        };
        let level = words.peek().and_then(|word| word.strip_prefix("x86-64-v")).and_then(|level| level.parse().ok());
        if level.is_some() {
            words.next();
        }
        let accelerator = match words.next() {
            None => Accelerator::Cpu,
            Some("cuda") => Accelerator::Cuda,
            Some("metal") => Accelerator::Metal,
            Some("rocm") => Accelerator::Rocm,
            Some(_) => return None,
        };
        let cards = match (accelerator, words.next()) {
            (Accelerator::Cpu | Accelerator::Metal, None) => Cards::Any,
            (Accelerator::Cuda, Some(list)) => Cards::Compute(list.split(',').map(pair).collect::<Option<_>>()?),
            (Accelerator::Cuda | Accelerator::Rocm, None) => Cards::Unknown,
            _ => return None,
        };
        let class = Self { platform, base, level, accelerator, cards };
        // There is one text for each class.
        (class.to_string() == text).then_some(class)
    }

    /// "sm_86+sm_89"; empty without.
    pub fn architectures(&self) -> String {
        self.numbers().map(|number| format!("sm_{number}")).collect::<Vec<_>>().join("+")
    }

    /// "86;89", as CMake takes them; `None` without.
    pub fn cuda_list(&self) -> Option<String> {
        let list = self.numbers().collect::<Vec<_>>().join(";");
        (!list.is_empty()).then_some(list)
    }

    fn numbers(&self) -> impl Iterator<Item = String> {
        let cards = match &self.cards {
            Cards::Compute(cards) => Some(cards),
            Cards::Any | Cards::Unknown => None,
        };
        cards.into_iter().flatten().map(|(major, minor)| format!("{major}{minor}"))
    }

    /// What it asks of a machine, for people: "linux-x86_64, glibc ≥ 2.31, x86-64-v3, sm_86+sm_89".
    pub fn words(&self) -> String {
        let mut words = vec![self.platform.clone()];
        match self.base {
            Base::Glibc(major, minor) => words.push(format!("glibc ≥ {major}.{minor}")),
            Base::Musl => words.push("musl".to_owned()),
            Base::MacOs(major) => words.push(format!("macOS ≥ {major}")),
            Base::Unknown => {}
        }
        words.extend(self.level.map(|level| format!("x86-64-v{level}")));
        match (&self.cards, self.accelerator) {
            (Cards::Compute(_), _) => words.push(self.architectures()),
            (_, Accelerator::Cpu) => {}
            (_, other) => words.push(other.to_string()),
        }
        words.join(", ")
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.platform)?;
        match self.base {
            Base::Glibc(major, minor) => write!(f, " glibc {major}.{minor}")?,
            Base::Musl => f.write_str(" musl")?,
            Base::MacOs(major) => write!(f, " macos {major}")?,
            Base::Unknown => {}
        }
        if let Some(level) = self.level {
            write!(f, " x86-64-v{level}")?;
        }
        if self.accelerator != Accelerator::Cpu {
            write!(f, " {}", self.accelerator)?;
        }
        if let Cards::Compute(cards) = &self.cards {
            for (at, (major, minor)) in cards.iter().enumerate() {
                write!(f, "{}{major}.{minor}", if at == 0 { ' ' } else { ',' })?;
            }
        }
        Ok(())
    }
}

impl Base {
    /// What a machine has.
    pub fn of(facts: &Facts) -> Self {
        match (&facts.os, &facts.libc) {
            (Os::Linux, Some(Libc::Glibc(major, minor))) => Self::Glibc(*major, *minor),
            (Os::Linux, Some(Libc::Musl)) => Self::Musl,
            (Os::MacOs, _) => {
                let version = facts.distribution.as_deref().and_then(|text| text.strip_prefix("macos "));
                let major = version.and_then(|version| version.split('.').next()?.parse().ok());
                major.map_or(Self::Unknown, Self::MacOs)
            }
            _ => Self::Unknown,
        }
    }

    /// Whether what is linked with this one runs on `other`.
    pub fn runs_on(self, other: Self) -> bool {
        match (self, other) {
            (Self::Glibc(major, minor), Self::Glibc(of, at)) => (major, minor) <= (of, at),
            (Self::MacOs(mine), Self::MacOs(theirs)) => mine <= theirs,
            (mine, theirs) => mine == theirs,
        }
    }
}

fn compute(facts: &Facts) -> Cards {
    let mut cards = BTreeSet::new();
    for gpu in facts.gpus.iter().filter(|gpu| gpu.kind == GpuKind::Cuda) {
        let pair = gpu.compute.as_deref().and_then(|compute| {
            let (major, minor) = compute.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        match pair {
            Some(pair) => cards.insert(pair),
            None => return Cards::Unknown,
        };
    }
    if cards.is_empty() { Cards::Unknown } else { Cards::Compute(cards) }
}

/// Whether a CUDA compiler of this version makes code for a card; a version that is not known is taken to.
pub fn nvcc_makes(version: Option<&str>, card: (u32, u32)) -> bool {
    /// From which compiler on cards of a kind are known, newest kind first.
    const SINCE: [((u32, u32), (u32, u32)); 9] = [
        ((12, 1), (12, 9)),
        ((10, 3), (12, 9)),
        ((10, 0), (12, 8)),
        ((8, 9), (11, 8)),
        ((8, 7), (11, 4)),
        ((8, 6), (11, 1)),
        ((8, 0), (11, 0)),
        ((7, 5), (10, 0)),
        ((7, 0), (9, 0)),
    ];
    let Some(version) = version.and_then(|version| {
        let mut parts = version.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next().and_then(Result::ok).unwrap_or(0)))
    }) else {
        return true;
    };
    let since = match card {
        // Between two kinds with different first versions.
        (12, 0) => (12, 8),
        (9, 0) => (11, 8),
        _ => SINCE.iter().find(|(kind, _)| card >= *kind).map_or((0, 0), |(_, since)| *since),
    };
    // Cards before Turing ended with CUDA 12.
    version >= since && (version < (13, 0) || card >= (7, 5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::facts::Gpu;

    fn linux(libc: Option<Libc>, level: Option<u8>, cards: &[Option<&str>]) -> Facts {
        let card = |compute: &Option<&str>| Gpu {
            kind: GpuKind::Cuda,
            name: "x".into(),
            vram: None,
            compute: compute.map(Into::into),
        };
        Facts {
            os: Os::Linux,
            arch: Arch::X86_64,
            libc,
            cpu_level: level,
            gpus: cards.iter().map(card).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn machines_that_differ_for_a_build_are_of_different_classes() {
        let glibc = Some(Libc::Glibc(2, 36));
        let two = linux(glibc.clone(), Some(3), &[Some("8.9"), Some("7.5"), Some("8.9")]);
        let text = |accelerator, facts: &Facts| Class::of(accelerator, facts).to_string();
        assert_eq!(text(Accelerator::Cpu, &two), "linux-x86_64 glibc 2.36 x86-64-v3");
        assert_eq!(text(Accelerator::Cuda, &two), "linux-x86_64 glibc 2.36 x86-64-v3 cuda 7.5,8.9");
        assert_eq!(Class::of(Accelerator::Cuda, &two).cuda_list().as_deref(), Some("75;89"));
        let old = linux(Some(Libc::Musl), None, &[Some("8.9"), None]);
        assert_eq!(text(Accelerator::Cuda, &old), "linux-x86_64 musl x86-64-v1 cuda");
        let mac =
            Facts { os: Os::MacOs, arch: Arch::Aarch64, distribution: Some("macos 15.1".into()), ..Facts::default() };
        assert_eq!(text(Accelerator::Metal, &mac), "macos-aarch64 macos 15 metal");
        for class in [
            Class::of(Accelerator::Cpu, &two),
            Class::of(Accelerator::Cuda, &two),
            Class::of(Accelerator::Cuda, &old),
            Class::of(Accelerator::Metal, &mac),
            Class::of(Accelerator::Rocm, &linux(None, None, &[])),
        ] {
            assert_eq!(Class::parse(&class.to_string()), Some(class));
        }
        for text in
            ["", "linux-x86_64 glibc", "linux-x86_64 glibc 2.036", "linux-x86_64 cuda 8.9,7.5", "x cpu", "x  musl"]
        {
            assert!(Class::parse(text).is_none_or(|class| text.is_empty() && class.platform.is_empty()), "{text}");
        }
    }

    #[test]
    fn what_runs_where() {
        let class = |text| Class::parse(text).unwrap();
        let serves = |built, host| class(built).serves(&class(host));
        let host = "linux-x86_64 glibc 2.36 x86-64-v3";
        assert!(serves(host, host));
        assert!(serves("linux-x86_64 glibc 2.31 x86-64-v2", host));
        for other in [
            "linux-x86_64 glibc 2.37 x86-64-v3",
            "linux-x86_64 glibc 2.36 x86-64-v4",
            "linux-x86_64 musl x86-64-v3",
            "linux-x86_64 x86-64-v3",
            "linux-aarch64 glibc 2.36",
            "linux-x86_64 glibc 2.36 x86-64-v3 cuda 8.9",
        ] {
            assert!(!serves(other, host), "{other}");
        }
        let host = "linux-x86_64 musl x86-64-v3 cuda 8.9";
        assert!(serves("linux-x86_64 musl x86-64-v3 cuda 8.6,8.9", host));
        assert!(!serves("linux-x86_64 musl x86-64-v3 cuda 8.6", host));
        assert!(!serves("linux-x86_64 musl x86-64-v3 cuda", host), "who knows for what");
        let unknown = "linux-x86_64 musl x86-64-v3 cuda";
        assert!(!serves(unknown, unknown), "not even for itself: a card may have been changed");
        assert!(serves("macos-aarch64 macos 14 metal", "macos-aarch64 macos 15 metal"));
        assert!(!serves("macos-aarch64 macos 15 metal", "macos-aarch64 macos 14 metal"));
    }

    #[test]
    fn a_compiler_knows_the_cards_of_its_time() {
        let knows = |version, card| nvcc_makes(Some(version), card);
        assert!(knows("11.8", (8, 9)) && !knows("11.7", (8, 9)) && knows("11.7", (8, 6)));
        assert!(knows("12.8", (12, 0)) && !knows("12.4", (12, 0)) && !knows("12.8", (12, 1)));
        assert!(knows("12.4", (6, 1)) && !knows("13.0", (6, 1)) && knows("13.0", (7, 5)));
        assert!(knows("11.8", (9, 0)) && !knows("11.4", (9, 0)));
        assert!(nvcc_makes(None, (12, 0)) && knows("12", (8, 0)));
    }
}
