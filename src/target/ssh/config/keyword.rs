//! Every keyword that ssh knows, from 9.2 to 10.2: one table, from which files are read, hosts resolved, and the
//! documentation's list of what has effect is made.

use super::{
    algorithms::Family as Names,
    value::{self, Choices},
};

/// What the table says about one keyword.
#[derive(Debug)]
pub struct Keyword {
    pub key: Key,
    /// In lower case, as `ssh -G` prints it.
    pub name: &'static str,
    pub(super) kind: Kind,
    /// In the form of `ssh -G`; a line each where the keyword has lines, else its words. Empty: unset.
    pub(super) default: &'static [&'static str],
    pub(super) expand: Expand,
    /// `none` takes back what a command line said, and is not a value.
    pub(super) none_is_unset: bool,
    pub effect: Effect,
}

/// What a keyword does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// As in ssh.
    Used,
    /// Passed over, because that changes neither the route nor makes anything trusted; and why.
    Ignored(&'static str),
    /// An error for the hosts that it applies to, unless its value is one of these; and what to do instead.
    Refused { unless: &'static [&'static str], instead: &'static str },
    /// An error in some cases only, which are described.
    Partly(&'static str),
}

/// What a keyword takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Belongs to the form of the file.
    Structure,
    /// Any words; known, and without meaning.
    Nothing,
    Choice(Choices),
    Number,
    Time,
    Port,
    /// One word.
    Word,
    /// The rest of the line.
    Rest,
    Jump,
    /// Up to 32 words, or `none` alone.
    Files,
    /// One word a line; the lines add up.
    Gather,
    SendEnv,
    SetEnv,
    Forward(value::Forward),
    Algorithms(Names),
    /// Has a reader of its own.
    Special(fn(&[String]) -> Result<Vec<String>, String>),
    /// A socket's path or a variable that holds it; or, of `ForwardAgent`, yes or no.
    Agent {
        flag: bool,
    },
}

impl Kind {
    /// Whether `ssh -G` prints a line for each value.
    pub fn is_lines(self) -> bool {
        matches!(self, Self::Gather | Self::SendEnv | Self::SetEnv | Self::Forward(_))
    }
}

/// Which tokens a keyword takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    /// `HostName`.
    Name,
    User,
    Proxy,
    Jump,
    /// All that are known before a connection is made.
    Client,
}

impl Tokens {
    pub fn letters(self) -> &'static str {
        match self {
            Self::Name => "h",
            Self::User => "dhijkLlnpu",
            Self::Proxy => "hknpr",
            Self::Jump => "hnpr",
            Self::Client => "CdhijkLlnpru",
        }
    }
}

/// What is put into a keyword's value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expand {
    pub tilde: bool,
    pub tokens: Option<Tokens>,
    pub env: bool,
}

const AS_IS: Expand = Expand { tilde: false, tokens: None, env: false };
const HOME: Expand = Expand { tilde: true, ..AS_IS };
const PATH: Expand = Expand { tilde: true, tokens: Some(Tokens::Client), env: true };
const TEXT: Expand = Expand { tokens: Some(Tokens::Client), ..AS_IS };
const NAME: Expand = Expand { tokens: Some(Tokens::Name), ..AS_IS };
const USER: Expand = Expand { tokens: Some(Tokens::User), env: true, ..AS_IS };
const PROXY: Expand = Expand { tokens: Some(Tokens::Proxy), ..AS_IS };
const JUMP: Expand = Expand { tokens: Some(Tokens::Jump), ..AS_IS };

use Effect::{Ignored, Partly, Refused, Used};
use Kind::{
    Agent, Choice, Files, Gather, Nothing, Number, Port, Rest, SendEnv, SetEnv, Special, Structure, Time, Word,
};

const FLAG: Kind = Choice(value::FLAG);
const FORWARDS: Effect = Ignored("forwards nothing; only its own connections run over the session");
const SESSION: Effect = Ignored("belongs to a session at a terminal");
const GSSAPI: Effect = Ignored("has no GSSAPI; other methods are tried");
const HOSTBASED: Effect = Ignored("has no host-based login; other methods are tried");
const MULTIPLEX: Effect = Ignored("makes its own connections, and shares them within a run");
const OLD: Effect = Ignored("means nothing in ssh any more");
const TRAFFIC: Effect = Ignored("shapes traffic, and leaves route and trust as they are");

macro_rules! keywords {
    ($($key:ident $name:literal $kind:expr, [$($default:literal),*], $expand:expr, $clears:literal, $effect:expr;)*) => {
        /// A keyword of ssh_config.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Key { $($key),* }

        /// The table, in the order of [`Key`].
        pub static KEYWORDS: &[Keyword] = &[$(Keyword {
            key: Key::$key, name: $name, kind: $kind, default: &[$($default),*], expand: $expand, none_is_unset: $clears,
            effect: $effect,
        }),*];
    };
}

#[rustfmt::skip]
keywords! {
    Host "host" Structure, [], AS_IS, false, Used;
    Match "match" Structure, [], AS_IS, false, Partly("all, canonical, final, host, originalhost, user, localuser, tagged, localnetwork and exec are decided; command, version and sessiontype are an error where they would decide");
    Include "include" Structure, [], AS_IS, false, Used;
    IgnoreUnknown "ignoreunknown" Word, [], AS_IS, false, Used;
    Tag "tag" Word, [], AS_IS, false, Used;

    User "user" Word, [], USER, false, Used;
    Hostname "hostname" Word, [], NAME, false, Used;
    Port "port" Port, ["22"], AS_IS, false, Used;
    AddressFamily "addressfamily" Choice(value::FAMILY), ["any"], AS_IS, false, Used;
    BindAddress "bindaddress" Word, [], AS_IS, false, Used;
    BindInterface "bindinterface" Word, [], AS_IS, false, Used;
    ProxyCommand "proxycommand" Rest, [], PROXY, true, Partly("\"-\" is refused");
    ProxyJump "proxyjump" Kind::Jump, [], JUMP, true, Used;
    ProxyUseFdpass "proxyusefdpass" FLAG, ["no"], AS_IS, false, Refused { unless: &["no"], instead: "use a ProxyCommand that carries the data itself, or ProxyJump" };
    ConnectTimeout "connecttimeout" Time, ["none"], AS_IS, false, Used;
    ConnectionAttempts "connectionattempts" Number, ["1"], AS_IS, false, Used;
    ServerAliveInterval "serveraliveinterval" Time, ["0"], AS_IS, false, Used;
    ServerAliveCountMax "serveralivecountmax" Number, ["3"], AS_IS, false, Used;
    Compression "compression" Choice(value::COMPRESSION), ["no"], AS_IS, false, Used;
    TcpKeepAlive "tcpkeepalive" FLAG, ["yes"], AS_IS, false, Ignored("notices a silent host by its own beats");
    CanonicalizeHostname "canonicalizehostname" Choice(value::CANONICALIZE), ["false"], AS_IS, false, Used;
    CanonicalDomains "canonicaldomains" Special(value::domains), ["none"], AS_IS, false, Used;
    CanonicalizeMaxDots "canonicalizemaxdots" Number, ["1"], AS_IS, false, Used;
    CanonicalizeFallbackLocal "canonicalizefallbacklocal" FLAG, ["yes"], AS_IS, false, Used;
    CanonicalizePermittedCnames "canonicalizepermittedcnames" Special(value::cnames), ["none"], AS_IS, false, Used;

    Ciphers "ciphers" Kind::Algorithms(Names::Cipher), [], AS_IS, false, Used;
    Macs "macs" Kind::Algorithms(Names::Mac), [], AS_IS, false, Used;
    KexAlgorithms "kexalgorithms" Kind::Algorithms(Names::Kex), [], AS_IS, false, Used;
    HostKeyAlgorithms "hostkeyalgorithms" Kind::Algorithms(Names::Key), [], AS_IS, false, Used;
    PubkeyAcceptedAlgorithms "pubkeyacceptedalgorithms" Kind::Algorithms(Names::Key), [], AS_IS, false, Used;
    CaSignatureAlgorithms "casignaturealgorithms" Kind::Algorithms(Names::Key), [], AS_IS, false, Used;
    HostbasedAcceptedAlgorithms "hostbasedacceptedalgorithms" Kind::Algorithms(Names::Key), [], AS_IS, false, HOSTBASED;
    RequiredRsaSize "requiredrsasize" Number, ["1024"], AS_IS, false, Used;
    RekeyLimit "rekeylimit" Special(value::rekey_limit), ["0", "0"], AS_IS, false, Ignored("renews its keys by the defaults");
    WarnWeakCrypto "warnweakcrypto" Word, [], AS_IS, false, Ignored("only warns");

    StrictHostKeyChecking "stricthostkeychecking" Choice(value::STRICT), ["ask"], AS_IS, false, Used;
    UserKnownHostsFile "userknownhostsfile" Files, ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"], PATH, false, Used;
    GlobalKnownHostsFile "globalknownhostsfile" Files, ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"], HOME, false, Used;
    HostKeyAlias "hostkeyalias" Word, [], AS_IS, false, Used;
    HashKnownHosts "hashknownhosts" FLAG, ["no"], AS_IS, false, Used;
    CheckHostIp "checkhostip" FLAG, ["no"], AS_IS, false, Used;
    RevokedHostKeys "revokedhostkeys" Word, [], PATH, true, Used;
    NoHostAuthenticationForLocalhost "nohostauthenticationforlocalhost" FLAG, ["no"], AS_IS, false, Used;
    KnownHostsCommand "knownhostscommand" Rest, [], AS_IS, true, Refused { unless: &["none"], instead: "write what it prints into a file and name that as GlobalKnownHostsFile" };
    VerifyHostKeyDns "verifyhostkeydns" Choice(value::ASK), ["false"], AS_IS, false, Ignored("believes no SSHFP record, which is stricter; rbee fleet trust writes the key down");
    UpdateHostKeys "updatehostkeys" Choice(value::ASK), ["true"], AS_IS, false, Ignored("learns no further keys from a host, which is stricter");
    FingerprintHash "fingerprinthash" Choice(value::HASH), ["SHA256"], AS_IS, false, Ignored("always shows SHA256");
    VisualHostKey "visualhostkey" FLAG, ["no"], AS_IS, false, SESSION;
    RefuseConnection "refuseconnection" Rest, [], AS_IS, true, Refused { unless: &[], instead: "the file itself forbids the connection" };

    IdentityFile "identityfile" Gather, ["~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk", "~/.ssh/id_xmss", "~/.ssh/id_dsa"], PATH, false, Used;
    CertificateFile "certificatefile" Gather, [], PATH, false, Used;
    IdentitiesOnly "identitiesonly" FLAG, ["no"], AS_IS, false, Used;
    IdentityAgent "identityagent" Agent { flag: false }, [], PATH, false, Used;
    PreferredAuthentications "preferredauthentications" Word, [], AS_IS, false, Partly("a list without publickey, keyboard-interactive and password is refused");
    PubkeyAuthentication "pubkeyauthentication" Choice(value::PUBKEY), ["true"], AS_IS, false, Used;
    PasswordAuthentication "passwordauthentication" FLAG, ["yes"], AS_IS, false, Used;
    KbdInteractiveAuthentication "kbdinteractiveauthentication" FLAG, ["yes"], AS_IS, false, Used;
    KbdInteractiveDevices "kbdinteractivedevices" Word, [], AS_IS, false, Ignored("lets the server choose");
    NumberOfPasswordPrompts "numberofpasswordprompts" Number, ["3"], AS_IS, false, Used;
    BatchMode "batchmode" FLAG, ["no"], AS_IS, false, Used;
    Pkcs11Provider "pkcs11provider" Word, [], AS_IS, true, Partly("refused where there is no agent; keys of a token come through it (ssh-add -s)");
    SecurityKeyProvider "securitykeyprovider" Word, ["internal"], AS_IS, true, Ignored("uses security keys through the agent only");
    AddKeysToAgent "addkeystoagent" Special(value::add_keys), ["false"], AS_IS, false, Ignored("changes no agent");
    HostbasedAuthentication "hostbasedauthentication" FLAG, ["no"], AS_IS, false, HOSTBASED;
    EnableSshKeysign "enablesshkeysign" FLAG, ["no"], AS_IS, false, HOSTBASED;
    GssApiAuthentication "gssapiauthentication" FLAG, ["no"], AS_IS, false, GSSAPI;
    GssApiKeyExchange "gssapikeyexchange" FLAG, ["no"], AS_IS, false, GSSAPI;
    GssApiDelegateCredentials "gssapidelegatecredentials" FLAG, ["no"], AS_IS, false, GSSAPI;
    GssApiTrustDns "gssapitrustdns" FLAG, ["no"], AS_IS, false, GSSAPI;
    GssApiRenewalForcesRekey "gssapirenewalforcesrekey" FLAG, ["no"], AS_IS, false, GSSAPI;
    GssApiClientIdentity "gssapiclientidentity" Word, [], AS_IS, false, GSSAPI;
    GssApiServerIdentity "gssapiserveridentity" Word, [], AS_IS, false, GSSAPI;
    GssApiKexAlgorithms "gssapikexalgorithms" Special(value::gss_names), [], AS_IS, false, GSSAPI;

    SendEnv "sendenv" SendEnv, [], AS_IS, false, Used;
    SetEnv "setenv" SetEnv, [], AS_IS, false, Used;

    ForwardAgent "forwardagent" Agent { flag: true }, ["no"], PATH, false, FORWARDS;
    ForwardX11 "forwardx11" FLAG, ["no"], AS_IS, false, FORWARDS;
    ForwardX11Trusted "forwardx11trusted" FLAG, ["no"], AS_IS, false, FORWARDS;
    ForwardX11Timeout "forwardx11timeout" Time, ["1200"], AS_IS, false, FORWARDS;
    XAuthLocation "xauthlocation" Word, [], AS_IS, false, FORWARDS;
    LocalForward "localforward" Kind::Forward(value::Forward::Local), [], TEXT, false, FORWARDS;
    RemoteForward "remoteforward" Kind::Forward(value::Forward::Remote), [], TEXT, false, FORWARDS;
    DynamicForward "dynamicforward" Kind::Forward(value::Forward::Dynamic), [], TEXT, false, FORWARDS;
    ClearAllForwardings "clearallforwardings" FLAG, ["no"], AS_IS, false, FORWARDS;
    ExitOnForwardFailure "exitonforwardfailure" FLAG, ["no"], AS_IS, false, FORWARDS;
    GatewayPorts "gatewayports" FLAG, ["no"], AS_IS, false, FORWARDS;
    PermitRemoteOpen "permitremoteopen" Special(value::permit_open), ["any"], AS_IS, false, FORWARDS;
    StreamLocalBindMask "streamlocalbindmask" Special(value::mask), ["0177"], AS_IS, false, FORWARDS;
    StreamLocalBindUnlink "streamlocalbindunlink" FLAG, ["no"], AS_IS, false, FORWARDS;
    Tunnel "tunnel" Choice(value::TUNNEL), ["false"], AS_IS, false, Refused { unless: &["false"], instead: "open the tunnel with ssh -w before, and say Tunnel no here" };
    TunnelDevice "tunneldevice" Special(value::tunnel_device), ["any:any"], AS_IS, false, FORWARDS;

    ControlMaster "controlmaster" Choice(value::MASTER), ["false"], AS_IS, false, MULTIPLEX;
    ControlPath "controlpath" Word, [], PATH, true, MULTIPLEX;
    ControlPersist "controlpersist" Special(value::control_persist), ["no"], AS_IS, false, MULTIPLEX;

    RemoteCommand "remotecommand" Rest, [], TEXT, true, Ignored("runs its own commands, as scp does");
    LocalCommand "localcommand" Rest, [], AS_IS, true, Ignored("runs nothing on the controller that it was not told to");
    PermitLocalCommand "permitlocalcommand" FLAG, ["no"], AS_IS, false, Ignored("runs nothing on the controller that it was not told to");
    RequestTty "requesttty" Choice(value::TTY), ["auto"], AS_IS, false, SESSION;
    SessionType "sessiontype" Choice(value::SESSION), ["default"], AS_IS, false, SESSION;
    StdinNull "stdinnull" FLAG, ["no"], AS_IS, false, SESSION;
    ForkAfterAuthentication "forkafterauthentication" FLAG, ["no"], AS_IS, false, SESSION;
    EscapeChar "escapechar" Special(value::escape_char), ["~"], AS_IS, false, SESSION;
    EnableEscapeCommandline "enableescapecommandline" FLAG, ["no"], AS_IS, false, SESSION;
    ObscureKeystrokeTiming "obscurekeystroketiming" Word, [], AS_IS, false, SESSION;
    ChannelTimeout "channeltimeout" Nothing, [], AS_IS, false, Ignored("ends its channels itself");
    VersionAddendum "versionaddendum" Nothing, [], AS_IS, false, Ignored("says its own name");
    IpQos "ipqos" Special(value::ip_qos), ["lowdelay", "throughput"], AS_IS, false, TRAFFIC;
    LogLevel "loglevel" Choice(value::LEVEL), ["INFO"], AS_IS, false, Ignored("has -v and -q");
    LogVerbose "logverbose" Special(value::log_verbose), ["none"], AS_IS, false, Ignored("has -v and -q");
    SyslogFacility "syslogfacility" Choice(value::FACILITY), ["USER"], AS_IS, false, Ignored("writes to no syslog");
    UseKeychain "usekeychain" Nothing, [], AS_IS, false, Ignored("is of Apple's ssh; passphrases are asked for, or come from the agent");
    Obsolete "protocol" Nothing, [], AS_IS, false, OLD;
}

/// Other names, and keywords that ssh itself accepts and passes over.
const ALIASES: &[(&str, Key)] = &[
    ("challengeresponseauthentication", Key::KbdInteractiveAuthentication),
    ("skeyauthentication", Key::KbdInteractiveAuthentication),
    ("tisauthentication", Key::KbdInteractiveAuthentication),
    ("dsaauthentication", Key::PubkeyAuthentication),
    ("identityfile2", Key::IdentityFile),
    ("keepalive", Key::TcpKeepAlive),
    ("hostbasedkeytypes", Key::HostbasedAcceptedAlgorithms),
    ("pubkeyacceptedkeytypes", Key::PubkeyAcceptedAlgorithms),
    ("smartcarddevice", Key::Pkcs11Provider),
    // Debian's.
    ("protocolkeepalives", Key::ServerAliveInterval),
    ("setuptimeout", Key::ServerAliveInterval),
    ("cipher", Key::Obsolete),
    ("fallbacktorsh", Key::Obsolete),
    ("globalknownhostsfile2", Key::Obsolete),
    ("rhostsauthentication", Key::Obsolete),
    ("useblacklistedkeys", Key::Obsolete),
    ("userknownhostsfile2", Key::Obsolete),
    ("useroaming", Key::Obsolete),
    ("usersh", Key::Obsolete),
    ("usersh", Key::Obsolete),
    ("useprivilegedport", Key::Obsolete),
    ("afstokenpassing", Key::Obsolete),
    ("kerberosauthentication", Key::Obsolete),
    ("kerberostgtpassing", Key::Obsolete),
    ("rsaauthentication", Key::Obsolete),
    ("rhostsrsaauthentication", Key::Obsolete),
    ("compressionlevel", Key::Obsolete),
];

impl Key {
    pub(super) const COUNT: usize = Self::Obsolete as usize + 1;

    /// The keyword of that name, in lower case.
    pub fn named(name: &str) -> Option<Self> {
        let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, key)| *key);
        KEYWORDS.iter().find(|keyword| keyword.name == name).map(|keyword| keyword.key).or_else(alias)
    }

    /// Its row of the table.
    pub fn about(self) -> &'static Keyword {
        &KEYWORDS[self as usize]
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        KEYWORDS.iter().map(|keyword| keyword.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_keys() {
        assert_eq!(KEYWORDS.len(), Key::COUNT);
        for (index, keyword) in KEYWORDS.iter().enumerate() {
            assert_eq!(keyword.key as usize, index);
            assert_eq!(Key::named(keyword.name), Some(keyword.key));
            assert_eq!(keyword.name, keyword.name.to_ascii_lowercase());
        }
    }

    /// The part of docs/ssh.md that is made from the table.
    fn published() -> String {
        let mut text = String::from("| keyword | what rbee does |\n| --- | --- |\n");
        for keyword in KEYWORDS {
            let what = match keyword.effect {
                Used => continue,
                _ if matches!(keyword.key, Key::Obsolete) => continue,
                Ignored(why) => format!("passes it over: {why}"),
                Partly(what) => what.to_owned(),
                Refused { unless: [], instead } => format!("refuses the host: {instead}"),
                Refused { unless, instead } => format!("refuses all but `{}`: {instead}", unless.join("`, `")),
            };
            text.push_str(&format!("| {} | {what} |\n", keyword.name));
        }
        text
    }

    /// `INSTA_UPDATE=always` writes it anew.
    #[test]
    fn the_documentation_says_what_the_table_says() {
        const BEGIN: &str = "the program itself uses -->\n";
        const END: &str = "<!-- end of keywords -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ssh.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (head, rest) = text.split_once(BEGIN).unwrap();
        let (old, tail) = rest.split_once(END).unwrap();
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(path, format!("{head}{BEGIN}{}{END}{tail}", published())).unwrap();
        } else {
            assert_eq!(old, published());
        }
    }
}
