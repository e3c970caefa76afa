//! Opening connections.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::EndpointAddr;
use super::connector::{Connector, Io};
use super::ear::Ear;
use super::relay::Relay;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectFault {
    /// The name has no address.
    NoAddress(Option<io::Error>),
    Io(io::Error),
}

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    ear: Ear,
}

/// What a connection is made of.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// The application's.
    Other(Box<dyn Io>),
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(s) => s.fmt(f),
            Self::Unix(s) => s.fmt(f),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

/// Connects, by `connector` if there is one. What is then read wakes by way of `relay`, whoever polls.
pub(super) async fn connect(
    addr: &EndpointAddr,
    connector: Option<&Connector>,
    relay: Arc<Relay>,
) -> Result<Stream, ConnectFault> {
    let socket = match connector {
        Some(connector) => connector.connect(addr).await.map(Socket::Other).map_err(ConnectFault::Io)?,
        None => open_socket(addr).await?,
    };
    Ok(Stream { socket, ear: Ear::new(relay) })
}

/// What something else is put on top of.
#[cfg(feature = "tls")]
pub(crate) async fn open(addr: &EndpointAddr, connector: Option<&Connector>) -> io::Result<Socket> {
    match connector {
        Some(connector) => connector.connect(addr).await.map(Socket::Other),
        None => open_socket(addr).await.map_err(|fault| match fault {
            ConnectFault::NoAddress(e) => {
                e.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            }
            ConnectFault::Io(e) => e,
        }),
    }
}

async fn open_socket(addr: &EndpointAddr) -> Result<Socket, ConnectFault> {
    let tcp = match addr {
        EndpointAddr::Unix(path) => {
            return UnixStream::connect(path).await.map(Socket::Unix).map_err(ConnectFault::Io);
        }
        EndpointAddr::Ip(addr) => TcpStream::connect(addr).await.map_err(ConnectFault::Io)?,
        EndpointAddr::Name { host, port } => {
            let addrs = tokio::net::lookup_host((host.as_str(), *port))
                .await
                .map_err(|e| ConnectFault::NoAddress(Some(e)))?;
            let mut outcome = Err(ConnectFault::NoAddress(None));
            for addr in addrs {
                outcome = TcpStream::connect(addr).await.map_err(ConnectFault::Io);
                if outcome.is_ok() {
                    break;
                }
            }
            outcome?
        }
    };
    tcp.set_nodelay(true).map_err(ConnectFault::Io)?;
    Ok(Socket::Tcp(tcp))
}

impl Stream {
    /// Without the ear: what is read from here on wakes whoever polls.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, ear } = self.get_mut();
        ear.poll_read(|cx| Pin::new(socket).poll_read(cx, buf))
    }
}

// Not vectored: most requests are a head and nothing else, which hyper then writes from one buffer. What a body costs
// more, a copy, is little beside the system call that takes it.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::Other(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Self::Other(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // The kernel has it.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Other(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Self::Other(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
