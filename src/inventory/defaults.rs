//! `[defaults]`: what a command means when it does not say, for the front door to merge with flags.

use std::time::Duration;

use super::{document::Place, pattern::Pattern};

/// The values of `[defaults]` that are about the command as a whole; flags go over them.
///
/// `user` and `identity` are not here: they are folded into the hosts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    /// What a command without `--hosts` works on.
    pub hosts: Option<Pattern>,
    /// Where that was said.
    pub hosts_place: Option<Place>,
    /// [`Limits::connect`](crate::vocab::Limits).
    pub connect_timeout: Option<Duration>,
    /// [`Limits::short`](crate::vocab::Limits).
    pub step_timeout: Option<Duration>,
    /// [`Limits::install`](crate::vocab::Limits).
    pub install_timeout: Option<Duration>,
    /// [`Limits::idle`](crate::vocab::Limits).
    pub build_idle: Option<Duration>,
    /// [`Limits::run`](crate::vocab::Limits).
    pub timeout: Option<Duration>,
    /// [`Limits::grace`](crate::vocab::Limits); zero is allowed.
    pub grace: Option<Duration>,
    /// [`Limits::lease`](crate::vocab::Limits).
    pub lease: Option<Duration>,
    /// [`Settings::forks`](crate::vocab::Settings), at least 1.
    pub forks: Option<usize>,
    /// As many failed hosts end a run; at least 1.
    pub max_fail: Option<usize>,
}

impl Defaults {
    /// Every key of `[defaults]`.
    pub(super) const KEYS: [&'static str; 12] = [
        "hosts",
        "connect_timeout",
        "step_timeout",
        "install_timeout",
        "build_idle",
        "timeout",
        "grace",
        "lease",
        "forks",
        "max_fail",
        "user",
        "identity",
    ];

    /// Takes over what `other` sets; that no key is set twice was checked before.
    pub(super) fn join(&mut self, other: Self) {
        *self = Self {
            hosts: other.hosts.or(self.hosts.take()),
            hosts_place: other.hosts_place.or(self.hosts_place.take()),
            connect_timeout: other.connect_timeout.or(self.connect_timeout),
            step_timeout: other.step_timeout.or(self.step_timeout),
            install_timeout: other.install_timeout.or(self.install_timeout),
            build_idle: other.build_idle.or(self.build_idle),
            timeout: other.timeout.or(self.timeout),
            grace: other.grace.or(self.grace),
            lease: other.lease.or(self.lease),
            forks: other.forks.or(self.forks),
            max_fail: other.max_fail.or(self.max_fail),
        };
    }
}
