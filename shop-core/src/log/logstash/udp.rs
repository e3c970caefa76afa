//! A datagram an event. All that can be noticed is that nobody listens on a host that says so.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};

use super::batch::{Progress, Window};
use super::fault::{Fault, within};
use crate::log::logstash_config::LogstashConfig;
use crate::log::url::LogstashUrl;

#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    max_datagram: usize,
}

impl Udp {
    pub(super) async fn connect(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<Self> {
        let addresses = within(config.connect_timeout.0, "no address", lookup_host(&url.authority)).await?;
        let mut fault = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).await?;
            match socket.connect(address).await {
                Ok(()) => return Ok(Self { socket, max_datagram: config.max_datagram.0 as usize }),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    pub(super) async fn deliver(&self, window: Window<'_>, progress: &mut Progress) -> Result<(), Fault> {
        for line in window.lines() {
            let sent = if line.len() > self.max_datagram { Ok(0) } else { self.socket.send(line).await };
            // What failed is told with the next datagram, which is not sent then.
            if sent? == 0 {
                progress.dropped += 1;
            }
            progress.done += 1;
        }
        Ok(())
    }
}
