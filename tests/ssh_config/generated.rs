//! Files that are put together at random, over the whole grammar.
//!
//! Each comes from a number, which a failure names. `RBEE_SSH_CONFIG_FILES` asks for more of them, from
//! `RBEE_SSH_CONFIG_FROM` on.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::oracle::{Compared, compare};

/// Hosts that are asked for.
const NAMES: &[&str] = &["a", "b", "web1", "web2.lan", "GPU", "10.0.0.7", "real"];

const PATTERNS: &[&str] = &[
    "a", "b", "web*", "web?", "*.lan", "*", "GPU", "gpu", "!b", "!web1", "10.0.*", "real", "?", "\"a\"", "*1", "!*.lan",
];

/// Keywords with good values. Without `%C`, into which the jump host goes since 9.3 only.
const VALUES: &[(&str, &[&str])] = &[
    ("User", &["me", "you", "'a b'", "%u", "root", "\"x\\\"y\""]),
    ("HostName", &["real", "%h.lan", "10.0.0.%%h", "127.1", "Upper.Case", "::1", "%h"]),
    ("Port", &["22", "2222", "0080", "ssh", "65535"]),
    ("AddressFamily", &["any", "inet", "INET6"]),
    ("BindAddress", &["192.0.2.1", "::1"]),
    ("BindInterface", &["eth0"]),
    ("ProxyCommand", &["nc %h %p", "none", "ssh -W \"%h:%p\" b # x", "= x"]),
    ("ProxyJump", &["none", "c", "me@c:22,d", "10.0.0.1", "[::1]:5", "ssh://u@c.lan", "a"]),
    ("ProxyUseFdpass", &["no"]),
    ("ConnectTimeout", &["5", "1m30s", "none", "0"]),
    ("ConnectionAttempts", &["1", "7"]),
    ("ServerAliveInterval", &["15", "1m", "none"]),
    ("ServerAliveCountMax", &["3", "0"]),
    ("Compression", &["yes", "no"]),
    ("TCPKeepAlive", &["yes", "no"]),
    ("CanonicalizeHostname", &["no", "false"]),
    ("CanonicalDomains", &["none", "a.example b.example."]),
    ("CanonicalizeMaxDots", &["0", "3"]),
    ("CanonicalizeFallbackLocal", &["yes", "no"]),
    ("Ciphers", &["aes128-ctr,aes256-ctr", "+3des-cbc", "-*gcm*", "^aes256-ctr"]),
    ("MACs", &["hmac-sha2-256", "+hmac-md5", "-umac*", "^hmac-sha1"]),
    ("KexAlgorithms", &["curve25519-sha256", "+diffie-hellman-group1-sha1", "-ecdh*", "^ecdh-sha2-nistp521"]),
    ("HostKeyAlgorithms", &["ssh-ed25519", "+ssh-rsa", "-*cert*", "^rsa*", "*"]),
    ("PubkeyAcceptedAlgorithms", &["ssh-ed25519", "+ssh-*", "-rsa*"]),
    ("CASignatureAlgorithms", &["ssh-ed25519", "-sk*"]),
    ("HostbasedAcceptedAlgorithms", &["rsa-sha2-256"]),
    ("RequiredRSASize", &["2048", "1024"]),
    ("RekeyLimit", &["1G", "default 1h", "64K none", "500M 3600"]),
    ("StrictHostKeyChecking", &["yes", "no", "ask", "accept-new", "off", "TRUE"]),
    ("UserKnownHostsFile", &["/x /y", "~/k", "none", "%d/%r.%h", "${RBEE_X}/k", "\"/a b\" /%n"]),
    ("GlobalKnownHostsFile", &["/g", "none", "~/g /h"]),
    ("HostKeyAlias", &["Alias", "b"]),
    ("HashKnownHosts", &["yes", "no"]),
    ("CheckHostIP", &["yes", "no"]),
    ("RevokedHostKeys", &["/r", "none"]),
    ("NoHostAuthenticationForLocalhost", &["yes", "no"]),
    ("KnownHostsCommand", &["/bin/x %H", "none"]),
    ("VerifyHostKeyDNS", &["yes", "no", "ask"]),
    ("UpdateHostKeys", &["yes", "no", "ask"]),
    ("FingerprintHash", &["md5", "SHA256"]),
    ("VisualHostKey", &["yes", "no"]),
    ("IdentityFile", &["~/.ssh/x", "/k/%h", "none", "\"k 1\"", "%d/y", "/k/%h"]),
    ("CertificateFile", &["~/c", "/c"]),
    ("IdentitiesOnly", &["yes", "no"]),
    ("IdentityAgent", &["none", "SSH_AUTH_SOCK", "$RBEE_X", "${RBEE_X}/a", "~/%u.sock"]),
    ("PreferredAuthentications", &["publickey", "password,publickey"]),
    ("PubkeyAuthentication", &["yes", "no", "unbound", "host-bound"]),
    ("PasswordAuthentication", &["yes", "no"]),
    ("KbdInteractiveAuthentication", &["yes", "no"]),
    ("KbdInteractiveDevices", &["pam"]),
    ("NumberOfPasswordPrompts", &["0", "3"]),
    ("BatchMode", &["yes", "no"]),
    ("PKCS11Provider", &["/p.so", "none"]),
    ("SecurityKeyProvider", &["internal", "none", "/s.so"]),
    ("AddKeysToAgent", &["yes", "no", "ask", "confirm", "confirm 10m", "1h"]),
    ("HostbasedAuthentication", &["yes", "no"]),
    ("EnableSSHKeysign", &["yes", "no"]),
    ("SendEnv", &["LANG LC_*", "-LC_*", "X", "A B C", "-*"]),
    ("SetEnv", &["A=1 B=2", "A=\"x y\"", "C=3 C=4"]),
    ("ForwardAgent", &["yes", "no", "/tmp", "$RBEE_X"]),
    ("ForwardX11", &["yes", "no"]),
    ("ForwardX11Trusted", &["yes", "no"]),
    ("ForwardX11Timeout", &["1h", "0"]),
    ("LocalForward", &["8080 web:80", "*:81 [::1]:80", "/s/%r /t", "127.0.0.1:82 x:1"]),
    ("RemoteForward", &["8080 web:80", "1080", "0 a:1", "[::]:5 /run/s"]),
    ("DynamicForward", &["1080", "*:1081"]),
    ("ClearAllForwardings", &["no", "yes"]),
    ("ExitOnForwardFailure", &["no"]),
    ("GatewayPorts", &["yes", "no"]),
    ("PermitRemoteOpen", &["any", "none", "a:1 b:*"]),
    ("StreamLocalBindMask", &["0177", "0", "77"]),
    ("StreamLocalBindUnlink", &["yes", "no"]),
    ("Tunnel", &["no", "yes", "ethernet"]),
    ("TunnelDevice", &["any", "0:1", "any:2"]),
    ("ControlMaster", &["auto", "no", "ask", "yes"]),
    ("ControlPath", &["~/.ssh/%L", "none", "/c/%r@%h:%p"]),
    ("ControlPersist", &["yes", "no", "10m", "0"]),
    ("RemoteCommand", &["echo %h \"%n\"", "none", "true # x"]),
    ("LocalCommand", &["echo %T", "none"]),
    ("PermitLocalCommand", &["yes", "no"]),
    ("RequestTTY", &["yes", "no", "force", "auto"]),
    ("SessionType", &["none", "default"]),
    ("StdinNull", &["yes", "no"]),
    ("EscapeChar", &["none", "~", "^B", "%"]),
    ("EnableEscapeCommandline", &["yes", "no"]),
    ("IPQoS", &["af11", "cs1 ef", "0x20 8", "none"]),
    ("LogLevel", &["QUIET", "debug", "ERROR", "verbose"]),
    ("LogVerbose", &["none", "a.c:* b.c"]),
    ("SyslogFacility", &["AUTH", "local0"]),
    ("IgnoreUnknown", &["frob*", "x,Frob*", "!frobnicate,*"]),
    ("GSSAPIAuthentication", &["yes", "no"]),
    ("Protocol", &["2"]),
    ("CompressionLevel", &["6"]),
    ("PubkeyAcceptedKeyTypes", &["+ssh-rsa"]),
    ("KeepAlive", &["no"]),
    ("Frobnicate", &["yes \"or no\""]),
];

const CRITERIA: &[&str] = &[
    "host web*,!web1",
    "host REAL",
    "originalhost a,b",
    "!originalhost a",
    "user me",
    "!user me,you",
    "localuser *",
    "!localuser *",
    "exec true",
    "exec \"test %h = real\"",
    "!exec \"exit 3\"",
    "exec \"test '%r' = me\"",
    "final",
    "!final",
    "canonical",
    "!canonical",
];

struct Maker {
    random: StdRng,
    /// Included files that were made so far.
    files: Vec<String>,
}

impl Maker {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.random).expect("something to choose from")
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    fn text(&mut self, lines: usize, depth: usize, place: &Path) -> String {
        let mut text = String::new();
        for _ in 0..lines {
            let line = match self.random.random_range(0..20) {
                0..3 => {
                    let patterns: Vec<&str> =
                        (0..self.random.random_range(1..4)).map(|_| self.pick(PATTERNS)).collect();
                    self.line("Host", &patterns.join(" "))
                }
                3..5 => {
                    let criteria = match self.random.random_range(0..6) {
                        0 => "all".to_owned(),
                        1 => "final all".to_owned(),
                        n => (1..n).map(|_| self.pick(CRITERIA)).collect::<Vec<_>>().join(" "),
                    };
                    self.line("Match", &criteria)
                }
                5 if depth < 3 => {
                    let inner = self.random.random_range(1..6);
                    let inner = self.text(inner, depth + 1, place);
                    self.files.push(inner);
                    let name = format!("{}/{}.conf", place.display(), self.files.len());
                    let word = if self.one_in(3) { format!("\"{name}\" {}/none*", place.display()) } else { name };
                    self.line("Include", &word)
                }
                6 => self.pick(&["", "# a comment", "   \t", "  # Host x", "\"open"]).to_owned(),
                _ => self.setting(),
            };
            text += &line;
            text.push('\n');
        }
        text
    }

    fn setting(&mut self) -> String {
        // Most keywords once in a while, the telling ones more often.
        let (keyword, values) = match self.one_in(3) {
            true => *VALUES[..24].choose(&mut self.random).expect("a keyword"),
            false => *VALUES.choose(&mut self.random).expect("a keyword"),
        };
        if keyword == "Frobnicate" && !self.one_in(4) {
            return String::new();
        }
        let value = self.pick(values);
        let value = match self.random.random_range(0..240) {
            0 => "",
            1 => "bad-value!",
            2 => "-1",
            3 => "x \"y",
            4 => "%Z ${NOT_SET}",
            5 => "yes no maybe",
            _ => value,
        };
        self.line(keyword, value)
    }

    /// A line in one of its forms.
    fn line(&mut self, keyword: &str, value: &str) -> String {
        let keyword = match self.random.random_range(0..6) {
            0 => keyword.to_ascii_lowercase(),
            1 => keyword.to_ascii_uppercase(),
            2 if self.one_in(4) => format!("\"{keyword}\""),
            _ => keyword.to_owned(),
        };
        let plain = !value.contains([' ', '"', '\'', '\\', '=']) && !value.is_empty();
        let takes_rest = ["command", "proxyjump"].iter().any(|end| keyword.to_ascii_lowercase().ends_with(end));
        let value = match plain && !takes_rest && self.one_in(5) {
            true => format!("\"{value}\""),
            false => value.to_owned(),
        };
        let indent = self.pick(&["", "", "  ", "\t", " \t "]);
        let between = self.pick(&[" ", " ", "  ", "\t", "=", " = ", " =", "= "]);
        let end = if takes_rest { "" } else { self.pick(&["", "", "", " ", "\t", "\r", " # why", " #", "  # \"x"]) };
        format!("{indent}{keyword}{between}{value}{end}")
    }
}

/// Makes a file from a number, and asks both about it; what differs, with the file.
fn differs(number: u64) -> (Compared, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut maker = Maker { random: StdRng::seed_from_u64(number), files: Vec::new() };
    let lines = maker.random.random_range(1..40);
    let text = maker.text(lines, 0, dir.path());
    let main = dir.path().join("main");
    fs::write(&main, &text).expect("the file");
    for (index, inner) in maker.files.iter().enumerate() {
        fs::write(dir.path().join(format!("{}.conf", index + 1)), inner).expect("an included file");
    }
    let names: Vec<&str> = NAMES.choose_multiple(&mut maker.random, 3).copied().collect();
    let compared = compare(&main, &names);
    let mut shown = format!("file {number}:\n{}--- main\n{text}", compared.difference);
    for (index, inner) in maker.files.iter().enumerate() {
        let _ = write!(shown, "--- {}.conf\n{inner}", index + 1);
    }
    (compared, shown)
}

#[test]
fn generated_files_mean_the_same_to_ssh() {
    let asked = |name: &str, otherwise: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let from = asked("RBEE_SSH_CONFIG_FROM", 0);
    let (next, end) = (AtomicU64::new(from), from + asked("RBEE_SSH_CONFIG_FILES", 120));
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < end
                {
                    let one = differs(number);
                    all.lock().expect("no panic").push(one);
                }
            });
        }
    });
    let all = all.into_inner().expect("no panic");
    let wrong: Vec<&str> =
        all.iter().filter(|(one, _)| !one.difference.is_empty()).map(|(_, shown)| shown.as_str()).collect();
    let shown = wrong[..wrong.len().min(3)].join("\n");
    assert!(wrong.is_empty(), "ssh and rbee differ over {} files:\n{shown}", wrong.len());
    let taken: usize = all.iter().map(|(one, _)| one.taken).sum();
    let refused: usize = all.iter().map(|(one, _)| one.refused).sum();
    assert!(taken > all.len() && refused > all.len() / 8, "{taken} hosts taken, {refused} refused");
}
