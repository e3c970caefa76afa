//! Opening connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::EndpointAddr;
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

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects. What is then read wakes by way of `relay`, whoever polls.
pub(super) async fn connect(addr: &EndpointAddr, relay: Arc<Relay>) -> Result<Stream, ConnectFault> {
    Ok(Stream { socket: open(addr).await?, ear: Ear::new(relay) })
}

async fn open(addr: &EndpointAddr) -> Result<Socket, ConnectFault> {
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

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, ear } = self.get_mut();
        ear.poll_read(|cx| match socket {
            Socket::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Socket::Unix(s) => Pin::new(s).poll_read(cx, buf),
        })
    }
}

// Not vectored: most requests are a head and nothing else, which hyper then writes from one buffer. What a body costs
// more, a copy, is little beside the system call that takes it.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Socket::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Socket::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
