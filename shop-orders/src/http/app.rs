use std::sync::Arc;

use shop_core::Problem;
use shop_core::http::{App, Request, Response, Router};
use shop_core::idempotency::{Keyed, StoredAnswer};

use super::{change, feed, openapi, place, read};
use crate::{Order, OrderService};

/// How the HTTP API treats its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HttpConfig {
    /// PATCH and DELETE without `If-Match` are refused with 428. Default no.
    pub require_if_match: bool,
    /// POST without `Idempotency-Key` is refused with 400. Default no.
    pub require_idempotency_key: bool,
}

/// The orders API, with `/openapi.json` and `/docs`.
pub fn app(service: OrderService, config: HttpConfig) -> App {
    routes(service, config).openapi(&openapi::document()).into_app(shop_core::service!("orders"))
}

pub(super) fn routes(service: OrderService, config: HttpConfig) -> Router<Arc<Api>> {
    Router::new(Arc::new(Api { service, config }))
        .post("/v1/orders", place::place_order)
        .get("/v1/orders", read::list_orders)
        .get("/v1/orders/{id}", read::get_order)
        .patch("/v1/orders/{id}", change::edit_order)
        .delete("/v1/orders/{id}", change::delete_order)
        .get("/v1/orders/{id}/history", feed::order_history)
        .post("/v1/orders/{id}/cancel", change::cancel_order)
        .post("/v1/orders/{id}/ship", change::ship_order)
        .post("/v1/orders/{id}/deliver", change::deliver_order)
        .get("/v1/events", feed::list_events)
}

/// What every handler has.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) service: OrderService,
    pub(super) config: HttpConfig,
}

impl Api {
    /// The request's key, and how its outcome is answered.
    pub(super) fn keyed(
        &self,
        request: &Request,
        body: &[u8],
        answer: fn(&Order) -> StoredAnswer,
    ) -> Result<Option<Keyed<Order>>, Problem> {
        match request.idempotency(body)? {
            Some(idempotency) => Ok(Some(Keyed { idempotency, answer })),
            None if self.config.require_idempotency_key => {
                Err(Problem::new(400, "idempotency_key_required", "An Idempotency-Key is needed")
                    .detail("send Idempotency-Key with a value that is new for every order or action"))
            }
            None => Ok(None),
        }
    }

    /// The versions that a change expects; `None` for any.
    pub(super) fn expected(&self, request: &Request) -> Result<Option<Vec<u64>>, Problem> {
        match request.if_match()? {
            Some(tags) => Ok(tags.versions()),
            None if self.config.require_if_match => {
                Err(Problem::new(428, "if_match_required", "If-Match is needed")
                    .detail("send If-Match with the ETag of the order as you know it, or * for any"))
            }
            None => Ok(None),
        }
    }
}

/// An answer of a handler.
pub(super) type Answer = Result<Response, Problem>;
