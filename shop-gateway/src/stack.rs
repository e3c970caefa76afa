//! The way of a request, from top to bottom. This file is the diagram: each step says why it is there and what
//! must be above or below it.
//!
//! ```text
//! client
//!   │   PROXY protocol, TLS, ALPN ............ serve/front.rs: before there is a request
//!   │   connection: header and idle timeouts . serve/conn.rs, serve/http2/
//!   ▼
//! access event   outermost, so that refusals and clients that leave are reported too
//!   ▼
//! head           ids taken or made, then the head checked and made one hop's: all that follows carries the ids
//!   ▼
//! limits         target and body; after the head, since a refusal carries the ids
//!   ▼
//! (admission)    to come: trusted proxies, allow/deny, load shedding: before any costly step
//!   ▼
//! routing        pure; on the path that will be forwarded
//!   ▼
//! policy         by route: the client's address, then its rate, then the body's size; after routing, before any upstream is asked.
//!   │            to come below the rate, which bounds what they cost: CORS, authentication
//!   ▼
//! (rewrite)      to come: path and headers, by route: after policy, which decides on what the client sent
//!   ▼
//! (resilience)   to come: deadline over all tries ▸ retry ▸ breaker ▸ balancer, around the exchange
//!   ▼
//! exchange       upstream/: a pooled connection or a service of this process
//!   ▼
//! response       one hop's headers removed, framing checked: before a byte goes to the client
//!   ▼
//! rescue         every fault of the above becomes problem+json, in one place
//! ```
//!
//! A configuration is swapped while requests run (plan.rs): an engine is immutable and behind a pointer, so that a
//! request ends on the engine it began on.

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use crate::access::AccessGuard;
use crate::body::{BodyLimits, GatewayBody, RequestBody};
use crate::client::Client;
use crate::engine::{Engine, Route};
use crate::fault::Fault;
use crate::headers::{HeadFault, Inbound, TRACEPARENT, X_REQUEST_ID, clean_response, prepare};
use crate::policy::{Quota, RateLimiter, seconds};
use crate::rescue;
use crate::route::{Lookup, RouteQuery, has_dot_segment};
use crate::tunnel::Offer;
use crate::upstream::{Pool, UpstreamKind};

/// What a path of CONNECT or TRACE takes: neither is ever forwarded (RFC 9110, 9.3.6 and 9.3.8).
const FORWARDED_METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

impl<P: Pool> Engine<P> {
    /// Answers the request in the slot, always. It is taken from there only where it is sent on: it is large, and a
    /// move of it is a copy.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up: its upstream's connection (of HTTP/2: its stream) is closed, its event says `aborted`.
    pub(crate) async fn handle(
        &self,
        slot: &mut Option<Request<RequestBody>>,
        client: &Client,
    ) -> Response<GatewayBody<P>> {
        let req = slot.as_mut().expect("the caller has just put it there");
        // The one look at the clock: for the event, the id and the pool.
        let now = Instant::now();
        let mut access = AccessGuard::start(req, client, now.into_std());
        let head_only = req.method() == Method::HEAD;

        let (inbound, head) = prepare(req, client, self.max_header, now.into_std());
        if let Some(access) = &mut access {
            access.set_ids(inbound.request_id.clone(), req.headers().get(TRACEPARENT).cloned());
        }
        let mut upstream = None;
        let mut quota = None;
        let outcome = match head {
            Ok(()) => {
                match self.admit_and_route(req, &inbound, client, now, access.as_deref_mut(), &mut quota) {
                    Ok(route) => {
                        upstream = Some(&*self.upstreams[route.upstream].name);
                        self.exchange(slot, route, &inbound, now).await
                    }
                    Err(fault) => Err(fault),
                }
            }
            Err(HeadFault::Bad(why)) => Err(Fault::BadRequest(why)),
            Err(HeadFault::Expectation) => Err(Fault::Expectation),
            Err(HeadFault::TooLarge) => Err(Fault::HeadersTooLarge { max: self.max_header }),
        };
        let mut res = match outcome {
            Ok(mut res) => {
                res.headers_mut().insert(X_REQUEST_ID, inbound.request_id);
                res
            }
            Err(fault) => {
                let mut res = rescue::respond(&fault, inbound.request_id, upstream);
                if slot.as_ref().is_some_and(|req| req.method() == Method::CONNECT) {
                    // What follows was meant for a tunnel that there is none of.
                    res.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                res
            }
        };

        if let Some((limiter, quota)) = quota {
            limiter.report(&quota, res.headers_mut());
        }
        if let Some(mut access) = access {
            let no_body =
                head_only || matches!(res.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            let length = res
                .headers()
                .get(header::CONTENT_LENGTH)
                .and_then(|length| length.to_str().ok()?.parse().ok());
            access.set_response(res.status(), no_body, length.or(res.body().size_hint().exact()));
            res.body_mut().report_to(access);
        }
        res
    }

    /// Limits, then routing, then the route's policies.
    fn admit_and_route<'a>(
        &'a self,
        req: &mut Request<RequestBody>,
        inbound: &Inbound,
        client: &Client,
        now: Instant,
        mut access: Option<&mut AccessGuard>,
        quota: &mut Option<(&'a RateLimiter, Quota)>,
    ) -> Result<&'a Route, Fault> {
        if matches!(*req.method(), Method::CONNECT | Method::TRACE) {
            return Err(Fault::MethodNotAllowed { allow: FORWARDED_METHODS.to_owned() });
        }
        let target = req.uri().path_and_query().map_or("", |target| target.as_str());
        if target.len() as u64 > self.max_uri {
            return Err(Fault::UriTooLong { max: self.max_uri });
        }
        if has_dot_segment(req.uri().path()) {
            return Err(Fault::BadRequest("the path has a segment `.` or `..`"));
        }
        let found = self.table.find(RouteQuery {
            host: inbound.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default(),
            path: req.uri().path(),
            method: req.method(),
            headers: req.headers(),
        });
        let route = match found {
            Lookup::Found(index) => &self.routes[index],
            Lookup::MethodNotAllowed(allow) => return Err(Fault::MethodNotAllowed { allow }),
            Lookup::NotFound => return Err(Fault::RouteNotFound),
        };
        if let Some(access) = &mut access {
            access.set_route(route.label.clone(), self.upstreams[route.upstream].name.clone());
        }
        if let Some(addresses) = &route.addresses
            && !addresses.allows(client.ip)
        {
            return Err(Fault::AddressDenied);
        }
        if let Some(limiter) = &route.rate_limit {
            let taken = limiter.take(client.ip, req.headers(), now.into_std());
            *quota = Some((&**limiter, taken));
            if !taken.allowed {
                return Err(Fault::RateLimited { retry_after: seconds(taken.retry_after) });
            }
        }
        // A Content-Length is the body's lower bound before a byte of it is read.
        if req.body().size_hint().lower() > route.max_body {
            return Err(Fault::BodyTooLarge { max: route.max_body });
        }
        let progress = req.body_mut().watch(self.body_limits);
        // The connection has its own from when it was accepted.
        req.body_mut().set_limits(BodyLimits { max: route.max_body, ..self.body_limits });
        if let Some(access) = access {
            access.set_request_body(progress);
        }
        Ok(route)
    }

    /// The exchange with the upstream, and its response made the client's. The request is taken from its slot.
    async fn exchange(
        &self,
        slot: &mut Option<Request<RequestBody>>,
        route: &Route,
        inbound: &Inbound,
        now: Instant,
    ) -> Result<Response<GatewayBody<P>>, Fault> {
        match &self.upstreams[route.upstream].kind {
            UpstreamKind::Network(network) => {
                let upload = slot.as_mut().and_then(|req| req.body_mut().watch(self.body_limits));
                if inbound.http2
                    && !network.is_http2()
                    && let Some(req) = slot
                {
                    say_framing(req);
                }
                let offer = match (&inbound.upgrade, &mut *slot) {
                    (Some(asked), Some(req)) => Offer::make(req, asked, &route.upgrade),
                    _ => None,
                };
                let (mut res, parts) = network.call(slot, inbound.host.is_some(), upload, now).await?;
                if let Some(offer) = offer
                    && res.status() == StatusCode::SWITCHING_PROTOCOLS
                {
                    return offer.accept(res, parts, &route.upgrade).map_err(Fault::BadResponse);
                }
                clean_response(&mut res).map_err(Fault::BadResponse)?;
                Ok(res.map(|incoming| GatewayBody::network(parts.body(incoming))))
            }
            UpstreamKind::InProcess(service) => {
                let req = slot.take().ok_or(Fault::Closed)?;
                let mut res = service.call(req).await.map_err(Fault::Service)?;
                clean_response(&mut res).map_err(Fault::BadResponse)?;
                Ok(res.map(GatewayBody::boxed))
            }
        }
    }
}

/// A body without a length is chunked, which HTTP/2 need not say. Said outright, as without it that of a GET would not be sent.
fn say_framing(req: &mut Request<RequestBody>) {
    if !req.body().is_end_stream() && !req.headers().contains_key(header::CONTENT_LENGTH) {
        req.headers_mut().insert(header::TRANSFER_ENCODING, const { HeaderValue::from_static("chunked") });
    }
}
