use std::sync::Arc;

use shop_core::Problem;
use shop_core::http::{ProblemSchema, Request, reply};
use shop_core::idempotency::Keyed;

use super::answer::{self, OrderAnswer};
use super::app::{Answer, Api};
use super::problem::{OrderConflict, OrderUnprocessable};
use super::request::PatchBody;
use crate::{Order, OrderId};

/// Changes an order
///
/// A merge patch (RFC 7396). New lines take or give back just the difference, all of it or nothing. Only a placed order can be
/// changed. Products that the order has already keep their name and price.
#[utoipa::path(
    patch,
    path = "/v1/orders/{id}",
    tag = "orders",
    params(
        ("id" = String, Path, format = "uuid", description = "The order."),
        ("If-Match" = Option<String>, Header, nullable = false, pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#, description = "The `ETag` that the change is based on, or `*`. A weak tag matches nothing."),
    ),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The order as it is now.", body = OrderAnswer<'static>,
            headers(("ETag" = String, description = "The order's version."))),
        (status = 404, description = "`not_found`", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 408, description = "`body_timeout`: the body did not arrive in time.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 409, description = "`illegal_transition`: the order is not placed any more; `insufficient_stock` with every short \
            line. Nothing was changed.", body = OrderConflict, content_type = "application/problem+json"),
        (status = 412, description = "`version_mismatch`", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`: more than 1 MiB.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`: not `application/merge-patch+json`.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 422, description = "`invalid` with every fault; `unknown_product` with every such line; `mixed_currencies`.",
            body = OrderUnprocessable, content_type = "application/problem+json"),
        (status = 428, description = "`if_match_required`, where that is configured.", body = ProblemSchema,
            content_type = "application/problem+json"),
        (status = 503, description = "`products_unavailable`, `not_placed` or `unavailable`: ask again.", body = ProblemSchema,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "In seconds."))),
    )
)]
pub(super) async fn edit_order(api: Arc<Api>, mut request: Request) -> Answer {
    request.query::<()>()?;
    let id: OrderId = request.param_as("id")?;
    let expected = api.expected(&request)?;
    let patch = request.merge_patch::<PatchBody>().await?.value.into_patch()?;
    let order = api.service.edit(id, expected, patch).await?;
    Ok(answer::sent(answer::changed(&order)))
}

/// Deletes an order
///
/// A placed order is cancelled, then it is in no list any more. Its events stay.
#[utoipa::path(
    delete,
    path = "/v1/orders/{id}",
    tag = "orders",
    params(
        ("id" = String, Path, format = "uuid", description = "The order."),
        ("If-Match" = Option<String>, Header, nullable = false, pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#, description = "The `ETag` that the change is based on, or `*`. A weak tag matches nothing."),
    ),
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "`not_found`", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 412, description = "`version_mismatch`", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 428, description = "`if_match_required`, where that is configured.", body = ProblemSchema,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete_order(api: Arc<Api>, request: Request) -> Answer {
    request.query::<()>()?;
    let id: OrderId = request.param_as("id")?;
    let expected = api.expected(&request)?;
    api.service.delete(id, expected).await?;
    Ok(reply::no_content())
}

/// An action on an order: all three read and answer alike.
macro_rules! action {
    ($(#[$doc:meta])* $path:literal, $handler:ident, $method:ident) => {
        $(#[$doc])*
        #[utoipa::path(
            post,
            path = $path,
            tag = "orders",
            params(
                ("id" = String, Path, format = "uuid", description = "The order."),
                ("Idempotency-Key" = Option<String>, Header, nullable = false, max_length = 257,
                    pattern = r#"^([!#-~]{1,255}|"[!#-~]{1,255}")$"#,
                    description = "The same key is done once, and answered the same every time."),
                ("If-Match" = Option<String>, Header, nullable = false,
                    pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#, description = "The `ETag` that the action is based on, or `*`. A weak tag matches nothing."),
            ),
            responses(
                (status = 200, description = "The order as it is now.", body = OrderAnswer<'static>, headers(
                    ("ETag" = String, description = "The order's version."),
                    ("Idempotency-Replayed" = String, description = "`true` when the key had this answer before."),
                )),
                (status = 404, description = "`not_found`", body = ProblemSchema, content_type = "application/problem+json"),
                (status = 408, description = "`body_timeout`: the body did not arrive in time.", body = ProblemSchema,
                    content_type = "application/problem+json"),
                (status = 409, description = "`illegal_transition` from its status; `idempotency_key_in_flight`: ask again.",
                    body = OrderConflict, content_type = "application/problem+json",
                    headers(("Retry-After" = u32, description = "In seconds; for `idempotency_key_in_flight`."))),
                (status = 412, description = "`version_mismatch`", body = ProblemSchema,
                    content_type = "application/problem+json"),
                (status = 413, description = "`body_too_large`", body = ProblemSchema,
                    content_type = "application/problem+json"),
                (status = 422, description = "`idempotency_key_reused`", body = ProblemSchema,
                    content_type = "application/problem+json"),
            )
        )]
        pub(super) async fn $handler(api: Arc<Api>, mut request: Request) -> Answer {
            let (id, expected, keyed) = read_action(&api, &mut request).await?;
            let outcome = api.service.$method(id, expected, keyed).await?;
            Ok(answer::answered(outcome, answer::changed))
        }
    };
}

action! {
    /// Cancels an order
    ///
    /// Its stock goes back. Only a placed order can be cancelled.
    "/v1/orders/{id}/cancel", cancel_order, cancel
}
action! {
    /// Ships an order
    ///
    /// Its units leave the warehouse. Only a placed order can be shipped.
    "/v1/orders/{id}/ship", ship_order, ship
}
action! {
    /// Notes that the customer has an order
    ///
    /// Only a shipped order can be delivered.
    "/v1/orders/{id}/deliver", deliver_order, deliver
}

async fn read_action(
    api: &Api,
    request: &mut Request,
) -> Result<(OrderId, Option<Vec<u64>>, Option<Keyed<Order>>), Problem> {
    request.query::<()>()?;
    let id = request.param_as("id")?;
    let expected = request.if_match()?.and_then(|tags| tags.versions());
    // Many clients send an empty object with every POST; it says as much as no body, so it is the same request.
    let body = request.bytes().await?;
    if !matches!(body.trim_ascii(), b"" | b"{}") {
        return Err(Problem::new(400, "invalid_body", "The body has the wrong shape")
            .detail("an action takes no body"));
    }
    let keyed = api.keyed(request, b"", answer::changed)?;
    Ok((id, expected, keyed))
}
