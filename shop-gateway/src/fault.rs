//! Why a request has no answer from its upstream.

use std::io;

use crate::body::BoxError;
use crate::headers::BadResponse;
use crate::upstream::ExchangeFault;

/// Why a request has no answer from its upstream. [`rescue`](crate::rescue) makes it one of the gateway's own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("the Expect header asks for what is not known")]
    Expectation,
    #[error("the target is longer than {max} bytes")]
    UriTooLong { max: u64 },
    #[error("the headers are longer than {max} bytes")]
    HeadersTooLarge { max: u64 },
    #[error("the body is larger than {max} bytes")]
    BodyTooLarge { max: u64 },
    #[error("no route matches the request")]
    RouteNotFound,
    #[error("the path does not take this method")]
    MethodNotAllowed { allow: String },
    #[error("the route does not take clients of this address")]
    AddressDenied,
    #[error("more requests than the route takes")]
    RateLimited { retry_after: u32 },
    #[error("no endpoint")]
    NoEndpoint(#[source] Option<io::Error>),
    #[error("no connection to {endpoint}")]
    Connect { endpoint: String, source: io::Error },
    #[error("no connection to {endpoint} in time")]
    ConnectTimeout { endpoint: String },
    #[error("the upstream did not answer in time")]
    Timeout,
    #[error("the upstream closed the connection without an answer")]
    Closed,
    #[error("the exchange with the upstream failed")]
    Exchange(#[source] hyper::Error),
    #[error("the upstream's answer is not HTTP as it should be")]
    BadResponse(#[source] BadResponse),
    #[error("the service failed")]
    Service(#[source] BoxError),
}

impl Fault {
    pub(crate) fn from_exchange(fault: ExchangeFault) -> Self {
        match fault {
            ExchangeFault::Timeout => Self::Timeout,
            ExchangeFault::Failed(e) => Self::Exchange(e),
            #[cfg(feature = "http2")]
            ExchangeFault::Body(fault) => Self::Service(fault.into()),
            ExchangeFault::Unsent | ExchangeFault::Closed => Self::Closed,
        }
    }
}
