//! A direct-tcpip channel: one TCP connection from a host to an address of this machine's loopback.

use std::{net::IpAddr, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{inlet::Inlet, outlet::Outlet};

const CONNECT: Duration = Duration::from_secs(10);

/// Whether `host` may be asked for; a sandbox opens no way into the network.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Connects, or says in the log why not.
pub(super) async fn connect(host: &str, port: u32) -> Option<TcpStream> {
    let port = u16::try_from(port).ok()?;
    let tcp = tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await.ok()?;
    match tcp {
        Ok(tcp) => {
            let _ = tcp.set_nodelay(true);
            Some(tcp)
        }
        Err(e) => {
            tracing::debug!(host, port, error = %e, "tunnel refused");
            None
        }
    }
}

/// Moves bytes both ways, each direction to its own end, then closes the channel.
pub(super) async fn run(tcp: TcpStream, mut inlet: Inlet, outlet: Outlet) {
    let (reader, mut writer) = tcp.into_split();
    let out = async {
        while let Some(data) = inlet.next().await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        // The other side may have closed already.
        let _ = writer.shutdown().await;
    };
    let back = async {
        outlet.carry(None, reader, std::future::pending(), None).await;
        outlet.end().await;
    };
    tokio::join!(out, back);
    outlet.close().await;
}
