//! The HTTP kit: what the services answer with, on hyper alone.
//!
//! A service is a [`Router`] of async handlers turned into an [`App`]. The app is a
//! `tower_service::Service<http::Request<B>>` for any body `B`, so a [`Server`] can serve it on a socket and a gateway can
//! call it in process, without one.
//!
//! ```
//! use shop_core::Problem;
//! use shop_core::http::{App, Request, Response, Router, StatusCode, reply};
//!
//! async fn hello(greeting: &'static str, request: Request) -> Result<Response, Problem> {
//!     Ok(reply::json(StatusCode::OK, &format!("{greeting} {}", request.param("name")))?)
//! }
//!
//! let app: App = Router::new("hello").get("/v1/greetings/{name}", hello).into_app(shop_core::service!("greeter"));
//! ```
//!
//! | file | what |
//! |---|---|
//! | `stack` | the layers around every handler, in order: read this first |
//! | `router` | method and path to handler |
//! | `request`, `json`, `query`, `conditional` | reading a request, each fault a clear [`Problem`](crate::Problem) |
//! | `reply` | making answers |
//! | `server`, `admin` | the public and the operator's sockets |
//! | `connections` | what is served on a connection, whoever accepted it |

mod access;
mod admin;
mod body;
mod conditional;
mod connection;
mod connections;
mod context;
mod head_timer;
mod json;
mod metrics;
#[cfg(feature = "openapi")]
mod openapi;
mod query;
pub mod reply;
mod request;
mod request_body;
mod router;
mod server;
mod stack;
mod strict;
mod trace;

pub use self::access::{AccessRecord, AccessSite, Refusal, ServiceInfo};
pub use self::admin::{Admin, CheckResult};
pub use self::body::{Body, BodySender, ReceiverGone};
pub use self::conditional::{EntityTag, IfMatch, IfNoneMatch};
pub use self::connection::Connection;
pub use self::connections::Connections;
pub use self::context::{RequestContext, RequestId, current_request, in_current_request};
pub use self::json::{Json, from_json_slice};
pub use self::metrics::{PrometheusHandle, install_prometheus};
#[cfg(feature = "openapi")]
pub use self::openapi::{FieldErrorSchema, MoneySchema, ProblemSchema, with_problems};
pub use self::query::{from_query_str, invalid_parameter, page_request};
pub use self::reply::{Response, ResponseExt};
pub use self::request::{DEFAULT_BODY_LIMIT, Request};
pub use self::request_body::RequestBody;
pub use self::router::{Handler, Router};
pub use self::server::{Drained, MakeConnection, Server, ServerConfig};
pub use self::stack::{App, ResponseFuture};
pub use self::trace::{SpanId, TraceContext, TraceId};

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
pub use tokio_util::sync::CancellationToken;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the crate's macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use tracing;
}
