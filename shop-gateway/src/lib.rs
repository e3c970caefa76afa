//! An HTTP gateway as a [`tower::Service`](tower_service::Service): routes, pools of upstream connections, streaming
//! both ways, and headers as a proxy owes them (RFC 9110, 7.6). It knows nothing of what it carries.
//!
//! ```
//! use http::{Request, Response};
//! use shop_gateway::{Gateway, GatewayConfig, RequestBody, RouteConfig};
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hello = service_fn(|req: Request<RequestBody>| async move {
//!     Ok::<_, std::convert::Infallible>(Response::new(format!("hello from {}", req.uri().path())))
//! });
//! let config = GatewayConfig { routes: vec![RouteConfig::new("/v1", "hello")], ..GatewayConfig::default() };
//! let gateway = Gateway::builder(config).service("hello", hello).build()?;
//!
//! let request = Request::get("/v1/you").header("host", "shop.example").body(String::new())?;
//! let response = gateway.clone().oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! assert!(response.headers().contains_key("x-request-id"));
//!
//! let request = Request::get("/v2").header("host", "shop.example").body(String::new())?;
//! assert_eq!(gateway.oneshot(request).await?.status(), 404);
//! # Ok(())
//! # }
//! ```
//!
//! # Two kinds
//! [`Gateway`] is `Send` and mounts in any tokio application: call it as a service, or hand it to [`serve`].
//! [`LocalGateway`] belongs to one thread and has pools without locks; [`Server`] runs one on each of its threads.
//! Both are made from one [`GatewayPlan`].
//!
//! # What it does to a request
//! * The route is the most specific that matches ([`route`]). None: 404; none but for the method: 405 with `Allow`.
//! * Hop-by-hop headers go: all that any `Connection` line names, and the fixed ones. `TE: trailers` stays.
//! * `X-Forwarded-For`, `-Proto` and `-Host` are **overwritten**, and `Forwarded` and `X-Real-IP` removed: nobody in
//!   front of the gateway is trusted to say who the client is. `Host` goes on as it came.
//! * `X-Request-Id` is taken if it is 1 to 128 visible ASCII characters, else made (UUIDv7), passed on and returned.
//! * `traceparent` (W3C) is followed if valid, else begun; the upstream is called in a span of its own.
//! * Paths with a segment `.` or `..`, in any spelling, are refused: the path that is routed is the path that is sent.
//! * A missing, repeated or malformed `Host`, a method in lower case, a target that is neither a path nor a URL of HTTP,
//!   transfer codings other than `chunked`, and a `Content-Length` beside one or twice are 400. The last two only where the
//!   gateway serves connections itself: of what it is called with as a service, hyper has removed the second.
//! * Chunks and trailers that are not framed to the letter end the request with 400, and the connection.
//! * Headers with `_` in their names are dropped, and trailers that frame, route or authorise.
//! * Bodies stream both ways and are never collected.
//! * `Upgrade` goes on to an upstream on the network if the route allows the protocol ([`UpgradeConfig`]: WebSocket, unless it
//!   says otherwise) and the request has no body. The connection carries raw bytes only after the upstream's 101; after any
//!   other answer it is HTTP as before, and what the client has sent meanwhile is its next request. Mounted as a service, the
//!   gateway takes the client's side from hyper's `OnUpgrade`; without that it does not forward `Upgrade`.
//!
//! # HTTP/2
//! With the feature `http2` a connection that begins with HTTP/2's preface, or has agreed to `h2` inside TLS, carries up to 128
//! requests at once. `:authority` is the host, cookies in several lines become one, and what is of one hop in HTTP/1.1 is an
//! error of the stream. A connection ends when its client gives up most of what it asks for, takes no byte of an answer for the
//! idle timeout, or has no request for as long; a drain tells it by GOAWAY and waits for what runs. Upstreams with
//! `protocol = "h2"` share a connection between requests; trailers pass both ways.
//!
//! # What it does not do
//! A request is never sent twice. It moves to another connection, or to another endpoint, only while nothing of it was
//! written. A response that breaks off breaks off for the client, too: there is no clean end.
//!
//! # Answers of its own
//! All are `application/problem+json` (RFC 9457) with `code`, `request_id` and `retryable`, but for bytes that are no
//! HTTP at all, which hyper answers with a bare 400, 414 or 431.
//!
//! | status | code | |
//! |---|---|---|
//! | 400 | `bad_request` | the request breaks a rule of HTTP, or its body broke off |
//! | 403 | `address_denied` | the route does not take clients of this address |
//! | 404 | `route_not_found` | |
//! | 405 | `method_not_allowed` | with `Allow`; also CONNECT and TRACE |
//! | 408 | `request_timeout` | head or body too slow |
//! | 413 | `body_too_large` | |
//! | 414 | `uri_too_long` | |
//! | 417 | `expectation_failed` | |
//! | 429 | `rate_limited` | with `Retry-After`, `RateLimit` and `RateLimit-Policy` |
//! | 431 | `headers_too_large` | more than the limit; also more than 100 headers, then bare |
//! | 502 | `upstream_unreachable`, `bad_upstream_response` | |
//! | 503 | `no_endpoint` | with `Retry-After` |
//! | 504 | `upstream_timeout` | |
//!
//! # Events
//! Each request emits one `tracing` event of the target [`ACCESS_TARGET`] when its answer has ended or its client has
//! gone (`shop.aborted`; status 499 if that was before any answer). When nobody listens, nothing is collected.
//!
//! # Features
//! | feature | |
//! |---|---|
//! | `http2` | HTTP/2 of clients, by ALPN or prior knowledge, and of upstreams with `protocol = "h2"`; gRPC |
//! | `tls` | TLS to clients and upstreams, by rustls and ring: `[gateway.tls.NAME]`, `[upstreams.NAME.tls]` |

mod access;
mod body;
mod client;
pub mod config;
mod engine;
mod fault;
mod gateway;
mod headers;
mod plan;
pub mod policy;
mod rescue;
pub mod route;
mod serve;
mod stack;
#[cfg(feature = "tls")]
mod tls;
mod tunnel;
mod upstream;

pub use access::ACCESS_TARGET;
pub use body::{BoxError, GatewayBody, RequestBody};
pub use client::ClientAddr;
pub use config::{
    AddressesConfig, CertificateConfig, ClientAuth, ConfigErrors, ConfigFault, GatewayConfig, LimitsConfig,
    ListenAddr, ListenAddrError, ListenConfig, ListenerConfig, PassiveConfig, RateLimitConfig, RouteConfig,
    TlsConfig, TlsVersion, UpgradeConfig, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig,
};
pub use gateway::{Gateway, GatewayBuilder, GatewayFuture, GatewayPlan, LocalGateway, LocalGatewayFuture};
pub use plan::Reloaded;
pub use serve::{Connections, Server, ServerHandle, serve};
pub use upstream::{EndpointAddr, EndpointError, EndpointStatus, LocalPool, Pool, SharedPool};
