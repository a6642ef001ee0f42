//! A direct TCP connection: all addresses of a name, from the place the user asked for.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    budget::Budget,
    config::{BindSource, Family, Resolved},
    dial::{Dialed, Failure, Peer},
    permits::{Permits, Server},
    socket::Socket,
};
use crate::{target::TargetError, vocab::Reason};

/// Between two attempts at all addresses, as OpenSSH pauses.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// Tries each address, `ConnectionAttempts` times; `silence` ends the connection once it is there.
pub(super) async fn dial(
    permits: &Permits,
    resolved: &Resolved,
    source: &BindSource,
    silence: Duration,
    budget: &mut Budget,
) -> Result<Dialed, Failure> {
    // Waiting for our own queue does not count.
    let mut looked_up = None;
    let lookup = async { looked_up = budget.spend(look_up(resolved, source.family)).await };
    if resolved.host_name.parse::<IpAddr>().is_ok() {
        lookup.await;
    } else {
        permits.naming(lookup).await;
    }
    let addresses = looked_up.ok_or_else(|| budget.too_late("the name server"))??;
    let mut last = None;
    for attempt in 0..resolved.connection_attempts.max(1) {
        if attempt > 0 {
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
        for (index, &address) in addresses.iter().enumerate() {
            let peer = named(resolved, address);
            let from = bind_address(source, address)?;
            let permit = permits.acquire(Server::At(address)).await;
            // An address that does not answer must leave time for the next.
            let share = budget.left() / u32::try_from(addresses.len() - index).unwrap_or(1);
            match budget.spend_at_most(share, Socket::connect(address, from, silence)).await {
                Some(Ok(stream)) => return Ok(Dialed { stream: Box::new(stream), peer, words: None, permit }),
                Some(Err(error)) => last = Some(unreachable(&peer, from, &error)),
                None => last = Some(budget.too_late(&peer.text).into()),
            }
        }
        if budget.left().is_zero() {
            break;
        }
    }
    Err(last.unwrap_or_else(|| Failure::connect(format!("{} has no address", resolved.host_name))))
}

async fn look_up(resolved: &Resolved, family: Family) -> Result<Vec<SocketAddr>, TargetError> {
    let host = resolved.host_name.trim_start_matches('[').trim_end_matches(']');
    let hint = "check the name, or give the host an address in the inventory or a HostName in ssh_config";
    let failed = |text: String| TargetError::Connect { reason: Reason::Connect, text, hint: Some(hint.to_owned()) };
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, resolved.port))
        .await
        .map_err(|error| failed(format!("the name {host} cannot be looked up: {}", reworded(&error))))?
        .collect();
    addresses.dedup();
    let wanted = match family {
        Family::Any => return Ok(addresses),
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    };
    addresses.retain(|address| address.is_ipv4() == (family == Family::Inet));
    if addresses.is_empty() {
        return Err(failed(format!(
            "the name {host} has no address of the family that AddressFamily {wanted} asks for"
        )));
    }
    Ok(addresses)
}

/// The words of the resolver without its wrapping.
fn reworded(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

/// `host:port`, with the address where the host is a name.
fn named(resolved: &Resolved, address: SocketAddr) -> Peer {
    let text = if resolved.host_name == address.ip().to_string() {
        address.to_string()
    } else {
        format!("{}:{} ({})", resolved.host_name, address.port(), address.ip())
    };
    Peer { text, address: Some(address) }
}

/// The local address to come from, if the user asked for one.
fn bind_address(source: &BindSource, to: SocketAddr) -> Result<Option<IpAddr>, Failure> {
    let fits = |ip: &IpAddr| ip.is_ipv4() == to.is_ipv4();
    let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
    if let Some(address) = &source.address {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(address.as_str(), 0))
            .map_err(|error| Failure::connect(format!("BindAddress {address}: {}", reworded(&error))))?
            .map(|address| address.ip())
            .find(fits);
        return match found {
            Some(ip) => Ok(Some(ip)),
            None => Err(Failure::connect(format!("BindAddress {address} is no {family} address, as {} is", to.ip()))),
        };
    }
    let Some(interface) = &source.interface else { return Ok(None) };
    let all =
        nix::ifaddrs::getifaddrs().map_err(|error| Failure::connect(format!("BindInterface {interface}: {error}")))?;
    let mut own: Vec<IpAddr> = all
        .filter(|entry| entry.interface_name == *interface)
        .filter_map(|entry| entry.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .filter(fits)
        .collect();
    // A stable sort: of the addresses that others can answer to, the first.
    own.sort_by_key(|ip| match ip {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    });
    match own.first() {
        Some(ip) => Ok(Some(*ip)),
        None => Err(Failure::connect(format!("BindInterface {interface} has no {family} address here"))),
    }
}

fn unreachable(peer: &Peer, from: Option<IpAddr>, error: &io::Error) -> Failure {
    let (reason, text) = match (error.kind(), from) {
        (io::ErrorKind::ConnectionRefused, _) => {
            (Reason::Connect, format!("{peer} refused the connection; is an SSH server running there?"))
        }
        (io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable, _) => {
            (Reason::Connect, format!("there is no route to {peer}"))
        }
        (io::ErrorKind::TimedOut, _) => (Reason::Timeout, format!("no answer from {peer}")),
        (io::ErrorKind::AddrNotAvailable, Some(from)) => {
            (Reason::Connect, format!("cannot connect to {peer} from {from}: this machine does not have that address"))
        }
        _ => (Reason::Connect, format!("cannot connect to {peer}: {error}")),
    };
    Failure { error: TargetError::connect(reason, text), again: error.kind() == io::ErrorKind::ConnectionReset }
}
