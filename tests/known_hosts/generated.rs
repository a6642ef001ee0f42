//! Situations that nobody thought of: lines put together by chance, the same each time.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{servers::Servers, trial::Situation};

const HOSTS: &[&str] = &[
    "{host}",
    "{host}",
    "127.0.0.1",
    "*",
    "[127.*]:*",
    "[127.0.0.?]:{port}",
    "elsewhere",
    "!{host}",
    "!127.0.0.1",
    "!*",
    "[127.0.0.1]:1",
    "",
    "|1|AAAA|BBBB",
];
const KEYS: &[&str] = &[
    "{ed}",
    "{ed}",
    "{ecdsa}",
    "{rsa}",
    "{no_ed}",
    "{no_ecdsa}",
    "{no_rsa}",
    "{no_384}",
    "{ca}",
    "{ca_ecdsa}",
    "{ca_rsa}",
    "{ed_cert}",
    "ssh-ed25519 AAAA",
    "{rsa} a comment",
];
const MARKERS: &[&str] =
    &["", "", "", "", "@cert-authority ", "@cert-authority\t", "@revoked ", "@revoked\t", "# ", "\t"];
const SERVERS: &[&str] = &["head", "plain", "rsa", "certified", "odd", "strange", "half"];
const POLICIES: &[&str] = &["yes", "ask", "accept-new", "accept-new", "no"];
const OPTIONS: &[&str] = &["", "", "", "HostKeyAlias {host}", "HostKeyAlias elsewhere", "HashKnownHosts yes"];

pub fn situations(_: &Servers, count: usize) -> Vec<Situation> {
    let seed = std::env::var("RBEE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|number| {
            let mut pick = |from: &[&'static str]| *from.choose(&mut random).unwrap();
            let (server, policy, option) = (pick(SERVERS), pick(POLICIES), pick(OPTIONS));
            let what = format!("number {number} of RBEE_SEED={seed}");
            let situation = Situation::new(what, server, file(&mut random)).global(file(&mut random));
            situation.option(format!("StrictHostKeyChecking {policy}")).option(option)
        })
        .collect()
}

fn file(random: &mut StdRng) -> String {
    let lines = random.random_range(0..5);
    (0..lines).map(|_| line(random)).collect()
}

fn line(random: &mut StdRng) -> String {
    let names = random.random_range(1..4);
    let names: Vec<_> = (0..names).map(|_| *HOSTS.choose(random).unwrap()).collect();
    let blank = ["\t", "  ", " ", " "].choose(random).unwrap();
    let (marker, key) = (MARKERS.choose(random).unwrap(), KEYS.choose(random).unwrap());
    format!("{marker}{}{blank}{key}\n", names.join(","))
}
