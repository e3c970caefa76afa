//! Connections that the application opens.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::EndpointAddr;

/// What a connection to an endpoint must be able to do.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Opens connections in the application's way.
#[derive(Clone)]
pub(crate) struct Connector(Arc<dyn Fn(EndpointAddr) -> Opening + Send + Sync>);

impl Connector {
    pub(crate) fn new<F, Fut, S>(connect: F) -> Self
    where
        F: Fn(EndpointAddr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self(Arc::new(move |addr| {
            let opening = connect(addr);
            Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Io>) })
        }))
    }

    pub(super) async fn connect(&self, addr: &EndpointAddr) -> io::Result<Box<dyn Io>> {
        (self.0)(addr.clone()).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
