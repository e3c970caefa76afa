//! Opening connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::EndpointAddr;
use crate::gather::with_one_piece;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectFault {
    /// The name has no address.
    NoAddress(Option<io::Error>),
    Io(io::Error),
}

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(super) async fn connect(addr: &EndpointAddr) -> Result<Stream, ConnectFault> {
    let tcp = match addr {
        EndpointAddr::Unix(path) => {
            return UnixStream::connect(path).await.map(Stream::Unix).map_err(ConnectFault::Io);
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
    Ok(Stream::Tcp(tcp))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(polled) = with_one_piece(bufs, |piece| Pin::new(&mut *this).poll_write(cx, piece)) {
            return polled;
        }
        match this {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
