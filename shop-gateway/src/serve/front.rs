//! What comes before HTTP on a connection: a PROXY protocol header, then TLS.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shop_core::drain::{Ticket, nothing_arrived};
use tokio::time::{Instant, sleep_until};

use super::conn::{ConnSettings, serve_connection};
#[cfg(feature = "http2")]
use super::http2::Http2Conn;
use super::prefixed::Prefixed;
use super::proxy::read_header;
use crate::client::Client;
use crate::config::{ListenerConfig, Peer, peer};
use crate::gateway::{GatewayPlan, Handler};
use crate::upstream::Io;

/// How long a connection that is not open yet still has when the server ends.
const LAST: Duration = Duration::from_secs(1);

/// What comes before HTTP on a listener's connections.
#[derive(Debug, Clone)]
pub(super) struct Front {
    trusted: Arc<[Peer]>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<crate::tls::ServerTls>>,
}

/// A connection on which HTTP comes next.
struct Opened {
    stream: Box<dyn Io>,
    client: Client,
    /// The client has said so.
    http2: bool,
}

impl Front {
    /// None: nothing.
    pub(super) fn new(config: &ListenerConfig, plan: &GatewayPlan) -> io::Result<Option<Self>> {
        if config.tls.is_none() && config.proxy_protocol_from.is_empty() {
            return Ok(None);
        }
        #[cfg(not(feature = "tls"))]
        let _ = plan;
        Ok(Some(Self {
            trusted: config.proxy_protocol_from.iter().filter_map(|text| peer(text)).collect(),
            #[cfg(feature = "tls")]
            tls: match &config.tls {
                Some(name) => Some(plan.tls().server(name).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("the plan has no section gateway.tls.{name}"),
                    )
                })?),
                None => None,
            },
        }))
    }

    fn expects_header(&self, addr: Option<SocketAddr>) -> bool {
        self.trusted.iter().any(|trusted| match (trusted, addr) {
            (Peer::Unix, None) => true,
            (Peer::Net(net), Some(addr)) => net.contains(&addr.ip().to_canonical()),
            _ => false,
        })
    }

    async fn open(&self, mut stream: Box<dyn Io>, addr: Option<SocketAddr>) -> io::Result<Opened> {
        let http2 = false;
        let mut client = Client::at(addr);
        if self.expects_header(addr) {
            let (named, rest) = read_header(&mut stream).await?;
            if let Some(named) = named {
                client = Client::new(named);
            }
            if !rest.is_empty() {
                stream = Box::new(Prefixed::new(rest, stream));
            }
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let inside = tls.accept(stream).await?;
            client.set_https();
            let http2 = inside.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok(Opened { stream: Box::new(inside), client, http2 });
        }
        Ok(Opened { stream, client, http2 })
    }
}

/// Serves a connection to its end, after what comes before HTTP on it, if there is anything, has come within the header timeout.
///
/// # Cancel safety
/// As [`serve_connection`].
pub(super) async fn serve_behind<H: Handler>(
    front: Option<Front>,
    stream: Box<dyn Io>,
    addr: Option<SocketAddr>,
    handler: H,
    settings: ConnSettings,
    ticket: Ticket,
) {
    let opened = match front {
        None => Opened { stream, client: Client::at(addr), http2: false },
        Some(front) => {
            match in_time(Box::pin(front.open(stream, addr)), settings.header_timeout(), &ticket).await {
                Ok(opened) => opened,
                Err(e) => {
                    let peer = addr.map(tracing::field::display);
                    let error = &e as &dyn std::error::Error;
                    tracing::debug!(target: "shop_gateway::serve", error, peer, "no connection was opened");
                    return;
                }
            }
        }
    };
    let Opened { stream, client, http2 } = opened;
    #[cfg(feature = "http2")]
    if http2 {
        return handler.serve_http2(stream, Http2Conn::new(client, settings, ticket)).await;
    }
    debug_assert!(!http2, "it was not offered");
    serve_connection(stream, nothing_arrived, client, handler, settings, ticket).await;
}

async fn in_time<T>(
    opening: impl Future<Output = io::Result<T>>,
    timeout: Duration,
    ticket: &Ticket,
) -> io::Result<T> {
    let mut opening = pin!(opening);
    let mut timer = pin!(sleep_until(Instant::now() + timeout));
    let (mut registered, mut told) = (false, false);
    poll_fn(|cx| {
        if !registered {
            ticket.register(cx.waker());
            registered = true;
        }
        if ticket.is_draining() && !told {
            told = true;
            let last = Instant::now() + LAST;
            if last < timer.deadline() {
                timer.as_mut().reset(last);
            }
        }
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(opened);
        }
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
