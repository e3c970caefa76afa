//! `/v1/products/{id}/stock` and `/v1/stock/check`.

use std::sync::Arc;

use shop_core::http::{Json, Request, Response, ResponseExt, StatusCode, reply};
use shop_core::id::Uuid;
use shop_core::idempotency::{Answered, StoredAnswer};
use shop_core::{Limit, PageRequest, Problem};

use super::dto::{AdjustmentBody, AdjustmentPage, NewAdjustmentBody, StockBody};
use super::paging::{linked, page};
use super::params::PageParams;
use super::routes::{Api, first, product_ref, stored};
use super::schema::{AdjustmentIdText, ProductRefText, StockCheckSchema};
use crate::wire::{CheckBody, into_lines};
use crate::{Adjustment, AdjustmentId, Product, ProductError};

/// Check whether there is enough
///
/// An answer, not a promise: only a reservation takes stock.
#[utoipa::path(
    post, path = "/v1/stock/check", tag = "stock", operation_id = "checkStock",
    request_body = CheckBody,
    responses((status = 200, description = "One answer a line", body = StockCheckSchema))
)]
pub(super) async fn check(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    // The hottest path: one list in, one list out, serialised once; no allocation a line.
    request.query::<()>()?;
    let Json { value, .. } = request.json::<CheckBody>().await?;
    let lines = into_lines(value.lines).map_err(ProductError::Invalid)?;
    let answer = api.service.check(&lines).await?;
    reply::json(StatusCode::OK, &answer)
}

/// Get a product's stock
#[utoipa::path(
    get, path = "/v1/products/{id}/stock", tag = "stock", operation_id = "getStock",
    params(("id" = inline(ProductRefText), Path)),
    responses((status = 200, description = "The stock", body = StockBody))
)]
pub(super) async fn get(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let seen = request.if_none_match()?;
    let product = api.service.get(&product).await?;
    if seen.is_some_and(|seen| seen.has(product.version)) {
        return Ok(reply::not_modified(product.version));
    }
    Ok(reply::json(StatusCode::OK, &StockBody::from(&product))?.with_etag(product.version))
}

/// Adjust a product's stock
///
/// The `ETag` is the product's, after it.
#[utoipa::path(
    post, path = "/v1/products/{id}/stock/adjustments", tag = "stock", operation_id = "adjustStock",
    params(("id" = inline(ProductRefText), Path)),
    request_body = NewAdjustmentBody,
    responses((status = 201, description = "Adjusted", body = AdjustmentBody<'static>))
)]
pub(super) async fn adjust(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let Json { value, raw } = request.json::<NewAdjustmentBody>().await?;
    let keyed = api.keyed(&request, &raw, adjusted)?;
    Ok(match api.service.adjust(&product, value.into(), keyed).await? {
        Answered::Fresh(outcome) => first(&adjusted(&outcome)),
        Answered::Replayed(answer) => reply::replayed(&answer),
    })
}

fn adjusted((made, product): &(Adjustment, Product)) -> StoredAnswer {
    let location = format!("/v1/products/{}/stock/adjustments/{}", product.id, made.id);
    stored(StatusCode::CREATED, Some(location), Some(product.version), &AdjustmentBody::from(made))
}

/// List a product's adjustments, newest first
#[utoipa::path(
    get, path = "/v1/products/{id}/stock/adjustments", tag = "stock", operation_id = "listAdjustments",
    params(("id" = inline(ProductRefText), Path), PageParams),
    responses((status = 200, description = "A page", body = AdjustmentPage<'static>))
)]
pub(super) async fn adjustments(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    let params: PageParams = request.query()?;
    let product = product_ref(&request)?;
    let page = page(params.limit, params.cursor, |_| true)?;
    let found = api.service.adjustments(&product, &page).await?;
    let data = found.data.iter().map(AdjustmentBody::from).collect();
    let body = AdjustmentPage { data, next_cursor: found.next_cursor };
    Ok(linked(reply::json(StatusCode::OK, &body)?, &request, body.next_cursor.as_ref()))
}

/// Get an adjustment
#[utoipa::path(
    get, path = "/v1/products/{id}/stock/adjustments/{adjustment_id}", tag = "stock", operation_id = "getAdjustment",
    params(("id" = inline(ProductRefText), Path), ("adjustment_id" = inline(AdjustmentIdText), Path)),
    responses((status = 200, description = "The adjustment", body = AdjustmentBody<'static>))
)]
pub(super) async fn adjustment(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let id: AdjustmentId = request.param_as("adjustment_id")?;
    // The list goes from the newest down, by id: the one after the next higher id is this one, if it is there.
    let above = id.0.as_u128().checked_add(1).map(|id| AdjustmentId(Uuid::from_u128(id)));
    let page = PageRequest { limit: Limit::new(1).unwrap_or_default(), after: above };
    let found = api.service.adjustments(&product, &page).await?;
    match found.data.first().filter(|found| found.id == id) {
        Some(found) => reply::json(StatusCode::OK, &AdjustmentBody::from(found)),
        None => Err(Problem::not_found(format!("there is no adjustment {id} of this product"))),
    }
}
