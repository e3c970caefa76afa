use std::sync::Arc;

use shop_core::http::{Json, ProblemSchema, Request};

use super::answer::{self, OrderAnswer};
use super::app::{Answer, Api};
use super::problem::{OrderConflict, OrderUnprocessable};
use super::request::NewOrderBody;

/// Places an order
///
/// All of its stock is taken, or nothing is done. Names and prices are the products' at this moment; a price in the request is
/// refused as an unknown field. The order is placed even if the client goes away before the answer: send an
/// `Idempotency-Key`, and ask again with it.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "orders",
    params(
        ("Idempotency-Key" = Option<String>, Header, nullable = false, max_length = 257, pattern = r#"^([!#-~]{1,255}|"[!#-~]{1,255}")$"#,
            description = "The same key and body are done once, and answered the same every time."),
    ),
    request_body = NewOrderBody,
    responses(
        (status = 201, description = "Placed.", body = OrderAnswer<'static>, headers(
            ("Location" = String, description = "The order."),
            ("ETag" = String, description = "The order's version."),
            ("Idempotency-Replayed" = String, description = "`true` when the key had this answer before."),
        )),
        (status = 408, description = "`body_timeout`: the body did not arrive in time.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 409, description = "`insufficient_stock` with every short line; `price_changed`: `expected_total` differs; \
            `idempotency_key_in_flight`: ask again. Nothing was taken.", body = OrderConflict,
            content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "In seconds; for `idempotency_key_in_flight`."))),
        (status = 413, description = "`body_too_large`: more than 1 MiB.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`: not `application/json`.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 422, description = "`invalid` with every fault; `unknown_product` with every such line; `mixed_currencies`; \
            `idempotency_key_reused`.", body = OrderUnprocessable, content_type = "application/problem+json"),
        (status = 503, description = "`products_unavailable`, `not_placed` or `unavailable`: ask again, with the same key.",
            body = ProblemSchema, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "In seconds."))),
    )
)]
pub(super) async fn place_order(api: Arc<Api>, mut request: Request) -> Answer {
    request.query::<()>()?;
    let Json { value, raw } = request.json::<NewOrderBody>().await?;
    let keyed = api.keyed(&request, &raw, answer::placed)?;
    let outcome = api.service.place(value.into_new_order()?, keyed).await?;
    Ok(answer::answered(outcome, answer::placed))
}
