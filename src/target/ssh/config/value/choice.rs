//! Keywords with a few possible words. `ssh -G` prints the first word that means the same.

/// A word as it may be written, and as it is printed.
pub(in super::super) type Choices = &'static [(&'static str, &'static str)];

pub(in super::super) const FLAG: Choices = &[("yes", "yes"), ("no", "no"), ("true", "yes"), ("false", "no")];
pub(in super::super) const ASK: Choices =
    &[("yes", "true"), ("no", "false"), ("ask", "ask"), ("true", "true"), ("false", "false")];
pub(in super::super) const STRICT: Choices = &[
    ("yes", "true"),
    ("ask", "ask"),
    ("accept-new", "accept-new"),
    ("no", "false"),
    ("off", "false"),
    ("true", "true"),
    ("false", "false"),
];
pub(in super::super) const FAMILY: Choices = &[("any", "any"), ("inet", "inet"), ("inet6", "inet6")];
pub(in super::super) const COMPRESSION: Choices = &[("yes", "yes"), ("no", "no")];
pub(in super::super) const CANONICALIZE: Choices =
    &[("yes", "true"), ("no", "false"), ("always", "always"), ("true", "true"), ("false", "false")];
pub(in super::super) const PUBKEY: Choices = &[
    ("yes", "true"),
    ("no", "false"),
    ("unbound", "unbound"),
    ("host-bound", "host-bound"),
    ("true", "true"),
    ("false", "false"),
];
pub(in super::super) const MASTER: Choices = &[
    ("yes", "true"),
    ("no", "false"),
    ("auto", "auto"),
    ("ask", "ask"),
    ("autoask", "autoask"),
    ("true", "true"),
    ("false", "false"),
];
pub(in super::super) const TUNNEL: Choices = &[
    ("yes", "point-to-point"),
    ("no", "false"),
    ("point-to-point", "point-to-point"),
    ("ethernet", "ethernet"),
    ("true", "point-to-point"),
    ("false", "false"),
];
pub(in super::super) const TTY: Choices =
    &[("yes", "true"), ("no", "false"), ("force", "force"), ("auto", "auto"), ("true", "true"), ("false", "false")];
pub(in super::super) const SESSION: Choices = &[("none", "none"), ("subsystem", "subsystem"), ("default", "default")];
pub(in super::super) const HASH: Choices =
    &[("md5", "MD5"), ("sha1", "SHA1"), ("sha256", "SHA256"), ("sha384", "SHA384"), ("sha512", "SHA512")];
pub(in super::super) const LEVEL: Choices = &[
    ("silent", "SILENT"),
    ("quiet", "SILENT"),
    ("fatal", "FATAL"),
    ("error", "ERROR"),
    ("info", "INFO"),
    ("verbose", "VERBOSE"),
    ("debug", "DEBUG"),
    ("debug1", "DEBUG"),
    ("debug2", "DEBUG2"),
    ("debug3", "DEBUG3"),
];
pub(in super::super) const FACILITY: Choices = &[
    ("daemon", "DAEMON"),
    ("user", "USER"),
    ("auth", "AUTH"),
    ("authpriv", "AUTHPRIV"),
    ("local0", "LOCAL0"),
    ("local1", "LOCAL1"),
    ("local2", "LOCAL2"),
    ("local3", "LOCAL3"),
    ("local4", "LOCAL4"),
    ("local5", "LOCAL5"),
    ("local6", "LOCAL6"),
    ("local7", "LOCAL7"),
];
