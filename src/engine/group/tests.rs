//! Facts and a recipe in, groups out.

use super::*;
use crate::{
    catalog::{Catalog, CatalogSource},
    vocab::facts::{Arch, Gpu, GpuKind, Libc, Os, Tool},
};

/// A Linux machine that can build for its processor.
struct Machine(HostName, Facts);

fn machine(name: &str) -> Machine {
    let facts = Facts {
        os: Os::Linux,
        arch: Arch::X86_64,
        libc: Some(Libc::Glibc(2, 36)),
        cpu_level: Some(3),
        cores: Some(8),
        memory: Some(16 << 30),
        ..Facts::default()
    };
    let tools = ["bash", "cc", "c++", "rustc", "cargo", "cmake", "git", "make", "ninja", "sha256"];
    let machine = Machine(HostName::new(name).unwrap(), facts);
    tools.into_iter().fold(machine, |machine, tool| machine.tool(tool, "99.0"))
}

impl Machine {
    fn tool(mut self, name: &str, version: &str) -> Self {
        let tool = Tool { path: format!("/usr/bin/{name}"), version: Some(version.into()), on_path: true };
        self.1.tools.insert(name.into(), tool);
        self
    }

    fn without(mut self, tool: &str) -> Self {
        self.1.tools.remove(tool);
        self
    }

    fn card(mut self, compute: Option<&str>) -> Self {
        let compute = compute.map(Into::into);
        self.1.gpus.push(Gpu { kind: GpuKind::Cuda, name: "x".into(), vram: None, compute });
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.1);
        self
    }

    fn glibc(self, minor: u32) -> Self {
        self.with(|facts| facts.libc = Some(Libc::Glibc(2, minor)))
    }

    fn level(self, level: u8) -> Self {
        self.with(|facts| facts.cpu_level = Some(level))
    }

    fn cores(self, cores: u32) -> Self {
        self.with(|facts| facts.cores = Some(cores))
    }
}

fn recipe(id: &str) -> Arc<RecipeMeta> {
    Arc::new(Catalog::open(&[CatalogSource::BuiltIn]).unwrap().resolve(id).unwrap())
}

/// What machines that need it, and others that do not, come to.
struct Case {
    recipe: Arc<RecipeMeta>,
    needs: Vec<Need>,
    builders: Vec<Builder>,
    stock: Vec<Stock>,
    rules: Rules,
}

fn case(id: &str, machines: impl IntoIterator<Item = Machine>) -> Case {
    let recipe = recipe(id);
    let mut case = Case { recipe, needs: Vec::new(), builders: Vec::new(), stock: Vec::new(), rules: Rules::default() };
    for Machine(host, facts) in machines {
        let facts = Arc::new(facts);
        let class = Class::of(case.recipe.worker.accelerator, &facts);
        case.builders.push(Builder { place: Place::Host(host.clone()), facts: facts.clone() });
        case.needs.push(Need { host, facts, recipe: case.recipe.clone(), class });
    }
    case
}

impl Case {
    fn other(mut self, Machine(host, facts): Machine) -> Self {
        self.builders.push(Builder { place: Place::Host(host), facts: Arc::new(facts) });
        self
    }

    fn here(mut self, machine: Machine) -> Self {
        self.builders.push(Builder { place: Place::Here, facts: Arc::new(machine.1) });
        self
    }

    fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    fn stocked(mut self, class: &str, host: Option<&str>) -> Self {
        let key = build_key(&self.recipe, class, &[]);
        let offer = host.map(|host| Offer {
            host: HostName::new(host).unwrap(),
            key,
            class: class.into(),
            path: "/x".into(),
            program: "x".into(),
            version: "1".into(),
            tree: None,
            size: 1,
            digest: Digest::new([0; 32]),
        });
        self.stock.push(Stock { key, class: Class::parse(class).unwrap(), offer });
        self
    }

    /// A line a group, "BUILDER>SECOND: HOSTS (CLASS)", and one for each that is left.
    fn said(&self) -> Vec<String> {
        let grouping = group(&self.needs, &self.builders, &self.stock, &self.rules);
        let groups = grouping.groups.iter().map(|group| {
            let ways: Vec<String> = group
                .ways
                .iter()
                .map(|way| match &way.source {
                    Source::Cache => "cache".to_owned(),
                    Source::Host(offer) => format!("from {}", offer.host),
                    Source::Build(place) => place.to_string(),
                })
                .collect();
            let hosts: Vec<_> = group.hosts.iter().map(HostName::as_str).collect();
            format!("{}: {} ({})", ways.join(">"), hosts.join(" "), group.ways[0].class)
        });
        let left = grouping.left.iter().map(|(nth, no)| format!("{}: {}", self.needs[*nth].host, no.text));
        groups.chain(left).collect()
    }
}

#[test]
fn equal_hosts_are_one_group_whose_strongest_builds() {
    let hosts = (1..=8).map(|n| machine(&format!("h{n}")).cores(if n == 5 { 16 } else { 8 }));
    let case = case("echo-worker", hosts);
    assert_eq!(case.said(), ["h5>h1: h1 h2 h3 h4 h5 h6 h7 h8 (linux-x86_64 glibc 2.36 x86-64-v3)"]);
}

#[test]
fn the_oldest_c_library_builds_and_the_lowest_level_is_built_for() {
    let hosts = || [machine("new").glibc(39).level(4).cores(64), machine("old").glibc(31), machine("mid").level(2)];
    assert_eq!(case("echo-worker", hosts()).said(), ["old: new old mid (linux-x86_64 glibc 2.31 x86-64-v2)"]);
    // Who cannot build does not decide who does, only for whom.
    let mut tools = hosts();
    tools[1].1.tools.remove("rustc");
    assert_eq!(
        case("echo-worker", tools).said(),
        [
            "mid: new mid (linux-x86_64 glibc 2.36 x86-64-v2)",
            "old: rustc is missing; and nobody else here can build it for this host"
        ]
    );
    let told = Rules { level: Some(1), ..Rules::default() };
    assert_eq!(
        case("echo-worker", hosts()).rules(told).said(),
        ["old: new old mid (linux-x86_64 glibc 2.31 x86-64-v1)"]
    );
}

#[test]
fn systems_that_have_nothing_in_common_are_groups_of_their_own() {
    let musl = |name| machine(name).with(|facts| facts.libc = Some(Libc::Musl));
    let arm = machine("arm").with(|facts| facts.arch = Arch::Aarch64);
    let mac = |name, version: &str| {
        machine(name).with(|facts| {
            (facts.os, facts.arch, facts.libc) = (Os::MacOs, Arch::Aarch64, None);
            facts.distribution = Some(format!("macos {version}"));
        })
    };
    let hosts = [machine("a"), musl("b"), arm, mac("m", "15.2"), musl("c"), mac("n", "14.7"), machine("d")];
    assert_eq!(
        case("echo-worker", hosts).said(),
        [
            "a>d: a d (linux-x86_64 glibc 2.36 x86-64-v3)",
            "b>c: b c (linux-x86_64 musl x86-64-v3)",
            "n: m n (macos-aarch64 macos 14)",
            "arm: arm (linux-aarch64 glibc 2.36)",
        ]
    );
}

#[test]
fn a_box_with_the_toolkit_builds_for_boxes_with_a_driver_only() {
    let toolkit = |name, version| machine(name).card(Some("8.9")).tool("nvcc", version);
    let driver = |name, compute| machine(name).card(Some(compute));
    let class = "linux-x86_64 glibc 2.36 x86-64-v3 cuda 8.6,8.9";
    assert_eq!(
        case("llama-server-cuda", [driver("d", "8.6"), toolkit("t", "12.4"), driver("e", "8.9")]).said(),
        [format!("t: d t e ({class})")]
    );
    // It need not want the program itself, nor have a card.
    let builder = machine("b").tool("nvcc", "12.4");
    assert_eq!(
        case("llama-server-cuda", [driver("d", "8.6"), driver("e", "8.9")]).other(builder).said(),
        [format!("b: d e ({class})")]
    );
    // One for the old library, one for the new card.
    let hosts = [
        toolkit("t", "11.8").glibc(31),
        driver("new", "12.0"),
        driver("old", "8.6").glibc(31),
        machine("n").tool("nvcc", "12.8").card(Some("8.9")).glibc(39),
    ];
    assert_eq!(
        case("llama-server-cuda", hosts).said(),
        [
            "t: t old n (linux-x86_64 glibc 2.31 x86-64-v3 cuda 8.6,8.9)",
            "new: nvcc is missing; and nobody else here can build it for this host",
        ]
    );
    // What a driver does not tell, only the host itself can find out.
    let silent = machine("s").card(None);
    let said = case("llama-server-cuda", [silent, toolkit("t", "12.4")]).said();
    assert_eq!(said.len(), 2);
    assert!(said[1].starts_with("s: nvcc is missing"), "{said:?}");
    let own = machine("s").card(None).tool("nvcc", "12.4");
    let said = case("llama-server-cuda", [own, toolkit("t", "12.4")]).said();
    assert_eq!(
        said,
        ["t>s: t (linux-x86_64 glibc 2.36 x86-64-v3 cuda 8.9)", "s: s (linux-x86_64 glibc 2.36 x86-64-v3 cuda)",]
    );
}

#[test]
fn who_may_build_is_as_was_said() {
    let hosts = || [machine("a"), machine("b").without("cc")];
    let class = "linux-x86_64 glibc 2.36 x86-64-v3";
    let rules = |build| Rules { build, ..Rules::default() };
    let on = |place| Rules { on: Some(place), ..Rules::default() };
    let here = || machine("me").cores(64);
    assert_eq!(case("echo-worker", hosts()).here(here()).said(), [format!("a>this machine: a b ({class})")]);
    let local = case("echo-worker", hosts()).here(here()).rules(rules(BuildPlace::Local));
    assert_eq!(local.said(), [format!("this machine: a b ({class})")]);
    let newer = case("echo-worker", hosts()).here(here().glibc(39)).rules(rules(BuildPlace::Local));
    assert_eq!(newer.said()[0], "a: this machine has glibc 2.39, and the host only glibc 2.36");
    let b = Place::Host(HostName::new("b").unwrap());
    let said = case("echo-worker", hosts()).rules(on(b)).said();
    assert_eq!(said, ["a: b cannot build it: cc is missing", "b: cc is missing"]);
    let outside = case("echo-worker", hosts()).other(machine("far").level(2));
    let outside = outside.rules(on(Place::Host(HostName::new("far").unwrap())));
    assert_eq!(outside.said(), ["far: a b (linux-x86_64 glibc 2.36 x86-64-v2)"]);
    let nobody = case("echo-worker", [machine("b").without("cc")]).rules(rules(BuildPlace::Local));
    assert_eq!(nobody.said(), ["b: there is no machine that may build it"]);
}

#[test]
fn what_was_built_before_comes_first() {
    let hosts = || [machine("a"), machine("b").level(4)];
    let class = "linux-x86_64 glibc 2.36 x86-64-v3";
    assert_eq!(
        case("echo-worker", hosts()).stocked(class, Some("z")).stocked(class, None).said(),
        [format!("cache>from z>a>b: a b ({class})")]
    );
    assert_eq!(case("echo-worker", hosts()).stocked(class, Some("z")).said(), [format!("from z>a>b: a b ({class})")]);
    // Each host gets the best that runs on it, and the rest is built.
    let four = "linux-x86_64 glibc 2.36 x86-64-v4";
    let said = case("echo-worker", hosts()).stocked(four, None).said();
    assert_eq!(said, [format!("cache>b>a: b ({four})"), format!("a>b: a ({class})")]);
    let newer = "linux-x86_64 glibc 2.37 x86-64-v3";
    assert_eq!(case("echo-worker", hosts()).stocked(newer, None).said(), [format!("a>b: a b ({class})")]);
    let told = Rules { level: Some(2), ..Rules::default() };
    let said = case("echo-worker", hosts()).stocked(class, None).rules(told).said();
    assert_eq!(said, ["a>b: a b (linux-x86_64 glibc 2.36 x86-64-v2)"]);
}
