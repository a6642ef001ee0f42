//! What an artifact needs of a host, read from its first bytes, before it is uploaded.

use std::io::{self, Read, Seek, SeekFrom};

use super::elf;
use crate::vocab::{
    Facts,
    facts::{Arch, Libc, Os},
};

/// A file that is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Starts with `#!`: any machine that has the interpreter.
    Script,
    Binary(Binary),
}

/// A program for one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    pub os: Os,
    /// More than one in a universal binary of macOS.
    pub arches: Vec<Arch>,
    /// The C library it is linked with, for glibc with the least version; `None` when it brings its own.
    pub libc: Option<Libc>,
}

/// Why a file cannot be installed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    #[error("it is empty")]
    Empty,
    #[error("it is a program for Windows")]
    Windows,
    #[error("it is neither a program for Linux or macOS nor a script that starts with #!")]
    Unknown,
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// Reads what a file needs: a few kilobytes of it, wherever they are.
///
/// # Errors
/// When it is no program, or a damaged one.
pub fn inspect<R: Read + Seek>(file: &mut R) -> Result<Program, InspectError> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::with_capacity(4096);
    file.by_ref().take(4096).read_to_end(&mut head)?;
    match head.as_slice() {
        [] => Err(InspectError::Empty),
        [b'#', b'!', ..] => Ok(Program::Script),
        [b'M', b'Z', ..] => Err(InspectError::Windows),
        [0x7f, b'E', b'L', b'F', ..] => elf::inspect(file, &head).map(Program::Binary),
        [0xcf, 0xfa, 0xed, 0xfe, ..] => macho(&[word(&head, 4, u32::from_le_bytes)?]),
        // A universal binary; class files of Java start alike, but their second word is a far larger number.
        [0xca, 0xfe, 0xba, 0xbe, ..] => {
            let count = word(&head, 4, u32::from_be_bytes)?;
            if !(1..=16).contains(&count) {
                return Err(InspectError::Unknown);
            }
            let types: Result<Vec<u32>, _> =
                (0..count as usize).map(|i| word(&head, 8 + 20 * i, u32::from_be_bytes)).collect();
            macho(&types?)
        }
        _ => Err(InspectError::Unknown),
    }
}

fn word(head: &[u8], at: usize, read: fn([u8; 4]) -> u32) -> Result<u32, InspectError> {
    let bytes = head.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map(read).ok_or(InspectError::Damaged("its header is cut off"))
}

fn macho(cpu_types: &[u32]) -> Result<Program, InspectError> {
    let arch = |cpu: &u32| match cpu {
        0x0100_0007 => Arch::X86_64,
        0x0100_000c => Arch::Aarch64,
        other => Arch::Other(format!("macos cpu type {other:#x}")),
    };
    Ok(Program::Binary(Binary { os: Os::MacOs, arches: cpu_types.iter().map(arch).collect(), libc: None }))
}

/// Says why a program would not run on a host, if that can be told; first the reason, then what to do.
pub fn misfit(program: &Program, facts: &Facts) -> Option<(String, String)> {
    let Program::Binary(binary) = program else { return None };
    let Binary { os, arches, libc } = binary;
    let here = facts.platform();
    let elsewhere = "build it on this host, or on one like it".to_owned();
    if *os != facts.os || !arches.contains(&facts.arch) {
        let built = arches.iter().map(|arch| format!("{os}-{arch}")).collect::<Vec<_>>().join(" and ");
        return Some((format!("built for {built}, the host is {here}"), elsewhere));
    }
    match (libc.as_ref()?, facts.libc.as_ref()?) {
        (Libc::Glibc(..), Libc::Glibc(..)) if libc <= &facts.libc => None,
        (need @ Libc::Glibc(..), have @ Libc::Glibc(..)) => Some((
            format!("needs {need}, the host has {have}"),
            "build it on this host, or on one whose glibc is as old".to_owned(),
        )),
        (Libc::Musl, Libc::Musl) => None,
        (need, have) => Some((format!("linked with {need}, the host has {have}"), elsewhere)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn look(bytes: &[u8]) -> Result<Program, InspectError> {
        inspect(&mut Cursor::new(bytes))
    }

    fn linux(arch: Arch, libc: Option<Libc>) -> Program {
        Program::Binary(Binary { os: Os::Linux, arches: vec![arch], libc })
    }

    #[test]
    fn files_are_told_apart() {
        assert_eq!(look(b"#!/bin/sh\n").unwrap(), Program::Script);
        assert!(matches!(look(b""), Err(InspectError::Empty)));
        assert!(matches!(look(b"MZ\x90"), Err(InspectError::Windows)));
        assert!(matches!(look(b"hello"), Err(InspectError::Unknown)));
        assert!(matches!(look(b"\x7fELF\x02\x01"), Err(InspectError::Damaged(_))));
        let thin = b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01";
        let mac = |arches| Program::Binary(Binary { os: Os::MacOs, arches, libc: None });
        assert_eq!(look(thin).unwrap(), mac(vec![Arch::Aarch64]));
        let mut fat = b"\xca\xfe\xba\xbe\x00\x00\x00\x02\x01\x00\x00\x07".to_vec();
        fat.resize(8 + 20, 0);
        fat.extend(b"\x01\x00\x00\x0c");
        assert_eq!(look(&fat).unwrap(), mac(vec![Arch::X86_64, Arch::Aarch64]));
        assert!(matches!(look(&fat[..20]), Err(InspectError::Damaged(_))));
        assert!(matches!(look(b"\xca\xfe\xba\xbe\x00\x00\x00\x34"), Err(InspectError::Unknown)));
    }

    #[test]
    fn a_misfit_is_said_in_a_sentence() {
        let host = |arch, libc| Facts { os: Os::Linux, arch, libc, ..Facts::default() };
        let why = |program: &Program, facts: &Facts| misfit(program, facts).map(|(why, _)| why);
        let program = linux(Arch::X86_64, Some(Libc::Glibc(2, 38)));
        let old = host(Arch::X86_64, Some(Libc::Glibc(2, 36)));
        assert_eq!(why(&program, &old).unwrap(), "needs glibc 2.38, the host has glibc 2.36");
        assert_eq!(why(&program, &host(Arch::X86_64, Some(Libc::Glibc(2, 38)))), None);
        assert_eq!(why(&program, &host(Arch::X86_64, None)), None);
        let musl = host(Arch::X86_64, Some(Libc::Musl));
        assert_eq!(why(&program, &musl).unwrap(), "linked with glibc 2.38, the host has musl");
        assert_eq!(
            why(&program, &host(Arch::Aarch64, None)).unwrap(),
            "built for linux-x86_64, the host is linux-aarch64"
        );
        assert_eq!(why(&linux(Arch::X86_64, None), &musl), None);
        assert_eq!(why(&Program::Script, &musl), None);
    }

    /// Real programs: this very test, and the shell that the system is built around.
    fn real() -> Vec<Vec<u8>> {
        let this = std::env::current_exe().unwrap();
        ["/bin/sh".into(), this].iter().map(|path: &std::path::PathBuf| std::fs::read(path).unwrap()).collect()
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn real_programs_are_read() {
        for bytes in real() {
            let Program::Binary(binary) = look(&bytes).unwrap() else { panic!("no binary") };
            assert_eq!(binary.arches, [Arch::parse(std::env::consts::ARCH)]);
            // Whatever runs here needs no newer glibc than the one that is here, and has at least a floor.
            let here = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output().unwrap().stdout;
            let here = String::from_utf8(here).unwrap();
            let (_, minor) = here.trim().rsplit_once('.').unwrap();
            let here = Libc::Glibc(2, minor.parse().unwrap());
            let needs = binary.libc.unwrap();
            assert!(needs > Libc::Glibc(2, 2) && needs <= here, "{needs} {here}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            magic in prop::sample::select(vec![&b""[..], b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"\xca\xfe\xba\xbe"]),
            bytes in prop::collection::vec(any::<u8>(), 0..2048),
        ) {
            let _ = look(&[magic, &bytes].concat());
        }
    }

    #[test]
    fn mutated_programs_never_panic() {
        // Not one of proptest's own vectors: a mutation is cheap, a copy of a whole program is not.
        let mut runner = proptest::test_runner::TestRunner::default();
        let mut bytes = std::fs::read("/bin/sh").unwrap();
        let whole = look(&bytes).unwrap();
        let places = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..24);
        let cell = std::cell::RefCell::new(&mut bytes);
        runner
            .run(&places, |places| {
                let mut bytes = cell.borrow_mut();
                let len = bytes.len();
                let mut undo = Vec::new();
                for (index, value, early) in places {
                    // Headers are at the front, and that is where a mutation matters.
                    let at = index.index(if early { len.min(1024) } else { len.min(64 << 10) });
                    undo.push((at, bytes[at]));
                    bytes[at] = value;
                }
                let _ = look(&bytes);
                let cut = len / 2;
                let _ = look(&bytes[..cut]);
                for (at, value) in undo.into_iter().rev() {
                    bytes[at] = value;
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(look(&bytes).unwrap(), whole);
    }
}
