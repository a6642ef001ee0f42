//! The judgement over the hosts of the data files.

use super::sample;
use crate::{
    preflight::{
        binary::{Binary, Program},
        check::{Grade, Request, Role, Verdict, check, refuses},
    },
    vocab::{
        Facts, Needs, WorkerId, WorkerMeta,
        facts::{Arch, Libc, Os},
        recipe::Accelerator,
    },
};

fn worker(accelerator: Accelerator, tools: &[&str]) -> WorkerMeta {
    WorkerMeta {
        accelerator,
        needs: Needs {
            disk: 8 << 30,
            memory: 4 << 30,
            tools: tools.iter().map(|t| (*t).to_owned()).collect(),
            packages: vec![],
        },
        ..WorkerMeta::new(WorkerId::new("w").unwrap())
    }
}

fn request(role: Role, worker: &WorkerMeta) -> Request<'_> {
    Request { role, worker: Some(worker), program: None, size: Some(20 << 20), system: false }
}

fn judge(host: &str, role: Role, worker: &WorkerMeta) -> Vec<Verdict> {
    check(&sample(host).unwrap(), &request(role, worker))
}

/// The one verdict on `what` that is not fine; its text and its hint.
fn complaint(verdicts: &[Verdict], what: &str) -> (Grade, String, String) {
    let found: Vec<_> = verdicts.iter().filter(|v| v.what == what && v.grade != Grade::Ok).collect();
    let [one] = found.as_slice() else { panic!("{what}: {verdicts:#?}") };
    (one.grade, one.text.clone(), one.hint.clone().unwrap_or_default())
}

#[test]
fn a_host_that_has_all_is_not_refused() {
    let cuda = worker(Accelerator::Cuda, &["cargo>=1.70", "cmake", "c++", "nvcc>=12.0"]);
    let verdicts = judge("debian-cuda", Role::BuildAndReceive, &cuda);
    assert!(!refuses(&verdicts), "{verdicts:#?}");
    let texts: Vec<_> = verdicts.iter().map(|v| (v.what, v.text.as_str())).collect();
    assert!(texts.contains(&("tools", "cargo 1.83.0, cmake 3.25.1, c++ 12.2.0, nvcc 12.4, bash 5.2.15")), "{texts:?}");
    assert!(texts.contains(&("gpu", "NVIDIA GeForce RTX 4090, NVIDIA GeForce RTX 3090")));
    assert!(texts.contains(&("disk", "920 GB free in /home/ada/.cache/rbee, needs 8.6 GB")), "{texts:?}");
    let (grade, text, hint) = complaint(&verdicts, "folder");
    assert_eq!((grade, text.as_str()), (Grade::Warn, "/home/ada/.local/bin is not on the host's PATH"));
    assert_eq!(hint, r#"--fix-path adds to /home/ada/.bashrc: export PATH="$HOME/.local/bin:$PATH""#);
}

#[test]
fn windows_and_others_are_refused_with_one_sentence() {
    let cpu = worker(Accelerator::Cpu, &[]);
    for host in ["git-bash-windows", "cmd-windows"] {
        let verdicts = judge(host, Role::BuildAndReceive, &cpu);
        assert_eq!(verdicts.len(), 1);
        let (grade, text, hint) = complaint(&verdicts, "os");
        assert_eq!((grade, text.as_str()), (Grade::No, "Windows hosts are not supported"));
        assert!(hint.starts_with("use WSL as a host of its own"));
    }
    let (_, text, _) = complaint(&judge("freebsd", Role::Receive, &cpu), "os");
    assert_eq!(text, "FreeBSD is not supported; Linux and macOS are");
}

#[test]
fn what_is_missing_comes_with_one_line_that_installs_it() {
    let tools = ["cargo>=1.90", "cmake", "c++>=14.3", "git"];
    let verdicts = judge("alpine-musl", Role::Build, &worker(Accelerator::Cpu, &tools));
    let (grade, text, hint) = complaint(&verdicts, "tools");
    assert_eq!(grade, Grade::No);
    assert_eq!(
        text,
        "cargo 1.83.0 is older than 1.90; cmake is missing; c++ 14.2.0 is older than 14.3; bash is missing"
    );
    assert_eq!(hint, "apk add cargo cmake g++ bash");
    let (_, text, hint) =
        complaint(&judge("raspberry-pi", Role::Build, &worker(Accelerator::Cpu, &["cargo"])), "tools");
    assert_eq!((text.as_str(), hint.as_str()), ("cargo is missing", "sudo apt-get install -y cargo"));
}

#[test]
fn only_hosts_that_build_need_tools() {
    let verdicts = judge("alpine-musl", Role::Receive, &worker(Accelerator::Cpu, &["cmake"]));
    assert!(!refuses(&verdicts), "{verdicts:#?}");
    assert!(verdicts.iter().all(|v| !v.text.contains("bash")));
}

#[test]
fn a_version_that_is_not_told_is_a_warning() {
    let mut facts = sample("debian-cuda").unwrap();
    facts.tools.get_mut("python3").unwrap().version = None;
    let verdicts = check(&facts, &request(Role::Build, &worker(Accelerator::Cpu, &["python3>=3.8"])));
    assert_eq!(complaint(&verdicts, "tools").1, "python3 does not tell its version, 3.8 is needed");
    assert!(!refuses(&verdicts));
}

#[test]
fn versions_compare_by_their_numbers() {
    let older = |have: &str, least: &str| {
        let mut facts = sample("debian-cuda").unwrap();
        facts.tools.get_mut("cmake").unwrap().version = Some(have.into());
        refuses(&check(&facts, &request(Role::Build, &worker(Accelerator::Cpu, &[&format!("cmake >= {least}")]))))
    };
    assert!(older("3.9", "3.10"));
    assert!(!older("3.10", "3.9"));
    assert!(!older("3", "3.0.0"));
    assert!(older("3.25.1", "3.25.2"));
    assert!(!older("3.25.1", "3.25"));
}

#[test]
fn too_little_room_is_said_with_numbers() {
    let mut big = worker(Accelerator::Cpu, &[]);
    big.needs = Needs { disk: 20 << 30, memory: 8 << 30, ..Needs::default() };
    let verdicts = judge("raspberry-pi", Role::Build, &big);
    let (grade, text, hint) = complaint(&verdicts, "disk");
    assert_eq!((grade, text.as_str()), (Grade::No, "6.9 GB free in /home/pi/.cache/rbee, needs 21.5 GB"));
    assert_eq!(hint, "free some space on /");
    // Sold as 8 GB.
    assert_eq!(complaint(&verdicts, "memory").0, Grade::Warn);
    big.needs.memory = 16 << 30;
    assert_eq!(complaint(&judge("raspberry-pi", Role::Build, &big), "memory").0, Grade::No);
    let huge = Request { size: Some(10 << 30), ..request(Role::Receive, &big) };
    assert_eq!(complaint(&check(&sample("raspberry-pi").unwrap(), &huge), "disk").0, Grade::No);
    let none = Facts { disks: vec![], ..sample("raspberry-pi").unwrap() };
    assert_eq!(complaint(&check(&none, &request(Role::Build, &big)), "disk").0, Grade::Warn);
}

#[test]
fn a_worker_for_another_machine_is_refused() {
    let cuda = worker(Accelerator::Cuda, &[]);
    let (grade, text, _) = complaint(&judge("raspberry-pi", Role::Receive, &cuda), "gpu");
    assert_eq!((grade, text.as_str()), (Grade::No, "w needs a cuda GPU, and none was found"));
    assert!(!refuses(&judge("raspberry-pi", Role::Build, &Needless::of(cuda))));
    let metal = worker(Accelerator::Metal, &[]);
    assert!(judge("macos-arm64", Role::Receive, &metal).iter().any(|v| v.text == "Apple M1 Max"));
    let mut linux = worker(Accelerator::Cpu, &[]);
    linux.platforms = vec!["linux".into()];
    linux.architectures = vec!["x86_64".into()];
    let (_, text, _) = complaint(&judge("macos-arm64", Role::Receive, &linux), "platform");
    assert_eq!(text, "w is made for platform linux, the host is macos-aarch64");
    let (_, text, _) = complaint(&judge("raspberry-pi", Role::Receive, &linux), "platform");
    assert_eq!(text, "w is made for architecture x86_64, the host is linux-aarch64");
}

/// A worker that needs no room.
struct Needless;

impl Needless {
    fn of(worker: WorkerMeta) -> WorkerMeta {
        WorkerMeta { needs: Needs::default(), ..worker }
    }
}

#[test]
fn a_silent_card_is_doubt_not_refusal() {
    let mut facts = sample("silent-card").unwrap();
    facts.gpus.clear();
    let verdicts = check(&facts, &request(Role::Receive, &worker(Accelerator::Cuda, &[])));
    assert_eq!(complaint(&verdicts, "gpu").0, Grade::Warn);
    assert_eq!(complaint(&verdicts, "probe").1, "nvidia-smi did not answer in time");
}

#[test]
fn an_artifact_that_would_not_run_is_refused_before_it_is_sent() {
    let cpu = worker(Accelerator::Cpu, &[]);
    let program = |libc| Program::Binary(Binary { os: Os::Linux, arches: vec![Arch::X86_64], libc });
    let on = |host: &str, role, program: &Program| {
        check(&sample(host).unwrap(), &Request { program: Some(program), ..request(role, &cpu) })
    };
    let new = program(Some(Libc::Glibc(2, 39)));
    let (grade, text, _) = complaint(&on("debian-cuda", Role::Receive, &new), "artifact");
    assert_eq!((grade, text.as_str()), (Grade::No, "needs glibc 2.39, the host has glibc 2.36"));
    assert_eq!(complaint(&on("alpine-musl", Role::Receive, &new), "artifact").0, Grade::No);
    assert!(!refuses(&on("alpine-musl", Role::Receive, &program(None))));
    assert!(!refuses(&on("macos-arm64", Role::Receive, &Program::Script)));
    // Who only builds gets no artifact.
    assert!(on("debian-cuda", Role::Build, &new).iter().all(|v| v.what != "artifact"));
}

#[test]
fn the_system_folder_is_had_or_refused() {
    let cpu = worker(Accelerator::Cpu, &[]);
    let system = |host: &str| check(&sample(host).unwrap(), &Request { system: true, ..request(Role::Receive, &cpu) });
    let mut none = sample("debian-cuda").unwrap();
    none.tools.remove("sudo");
    let none = check(&none, &Request { system: true, ..request(Role::Receive, &cpu) });
    let (grade, text, hint) = complaint(&none, "folder");
    assert_eq!((grade, text.as_str()), (Grade::No, "/usr/local/bin is not writable, and there is no sudo"));
    assert_eq!(hint, "leave out --system to install to /home/ada/.local/bin");
    for host in ["debian-cuda", "raspberry-pi"] {
        let through = |v: &Verdict| v.text == "/usr/local/bin through sudo" && v.grade == Grade::Ok;
        assert!(system(host).iter().any(through), "{host}");
    }
}
