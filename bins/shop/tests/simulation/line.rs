//! Connections in the simulated network, for hyper's client.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tower_service::Service;
use turmoil::net::TcpStream;

use crate::world::World;

/// The client that reqwest, too, is made of: its pools, and what it does when a connection is closed under it.
pub(crate) type HttpClient = Client<Dial, Full<Bytes>>;

pub(crate) fn http_client(world: &Arc<World>, targets: &'static [(&'static str, u16)]) -> HttpClient {
    Client::builder(TokioExecutor::new()).build(Dial { world: world.clone(), targets })
}

/// Opens a connection to one of some hosts, whatever is asked for: a name with several addresses.
#[derive(Clone)]
pub(crate) struct Dial {
    world: Arc<World>,
    targets: &'static [(&'static str, u16)],
}

impl Service<Uri> for Dial {
    type Response = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = self.targets[self.world.below(self.targets.len() as u64) as usize];
        Box::pin(async move { Ok(Line(TokioIo::new(TcpStream::connect(target).await?))) })
    }
}

/// A connection.
pub(crate) struct Line(TokioIo<TcpStream>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
