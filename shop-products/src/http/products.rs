//! `/v1/products` and `/v1/products/{id}`.

use std::sync::Arc;

use shop_core::Problem;
use shop_core::http::{IfMatch, Json, Request, Response, ResponseExt, StatusCode, reply};
use shop_core::idempotency::{Answered, StoredAnswer};

use super::dto::{DetailsBody, NewProductBody, PatchBody, ProductBody, ProductPage};
use super::paging::{linked, page};
use super::params::{Include, ListParams};
use super::routes::{Api, first, product_ref, stored};
use super::schema::ProductRefText;
use crate::store::{ProductKey, ProductQuery, ProductSortField, SortValue};
use crate::{Product, ProductEditRequest, ProductError};

/// Make a product
#[utoipa::path(
    post, path = "/v1/products", tag = "products", operation_id = "createProduct",
    request_body = NewProductBody,
    responses((status = 201, description = "Made", body = ProductBody<'static>))
)]
pub(super) async fn create(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let Json { value, raw } = request.json::<NewProductBody>().await?;
    let keyed = api.keyed(&request, &raw, created)?;
    let new = value.into_new().map_err(ProductError::Invalid)?;
    Ok(match api.service.create(new, keyed).await? {
        Answered::Fresh(product) => first(&created(&product)),
        Answered::Replayed(answer) => reply::replayed(&answer),
    })
}

fn created(product: &Product) -> StoredAnswer {
    let location = format!("/v1/products/{}", product.id);
    stored(StatusCode::CREATED, Some(location), Some(product.version), &ProductBody::from(product))
}

/// List products
#[utoipa::path(
    get, path = "/v1/products", tag = "products", operation_id = "listProducts",
    params(ListParams),
    responses((status = 200, description = "A page", body = ProductPage<'static>))
)]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    let mut params: ListParams = request.query()?;
    let query = params.query();
    let page = page(params.limit, params.cursor.take(), |key| fits(key, &query))?;
    let found = api.service.list(&query, &page).await?;
    let total = match params.include {
        Some(Include::Total) => Some(api.service.count(&query).await?),
        None => None,
    };
    let data = found.data.iter().map(ProductBody::from).collect();
    let body = ProductPage { data, next_cursor: found.next_cursor, total };
    Ok(linked(reply::json(StatusCode::OK, &body)?, &request, body.next_cursor.as_ref()))
}

/// Whether a cursor is one of this list in this order.
fn fits(key: &ProductKey, query: &ProductQuery) -> bool {
    let text = matches!(query.sort.field, ProductSortField::Name | ProductSortField::Sku);
    key.sort == query.sort && matches!(key.value, SortValue::Text(_)) == text
}

/// Get a product
#[utoipa::path(
    get, path = "/v1/products/{id}", tag = "products", operation_id = "getProduct",
    params(("id" = inline(ProductRefText), Path)),
    responses((status = 200, description = "The product", body = ProductBody<'static>))
)]
pub(super) async fn get(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let seen = request.if_none_match()?;
    let product = api.service.get(&product).await?;
    if seen.is_some_and(|seen| seen.has(product.version)) {
        return Ok(reply::not_modified(product.version));
    }
    answer(&product)
}

/// Replace a product's details
///
/// Its stock is changed by adjustments.
#[utoipa::path(
    put, path = "/v1/products/{id}", tag = "products", operation_id = "replaceProduct",
    params(("id" = inline(ProductRefText), Path)),
    request_body = DetailsBody,
    responses((status = 200, description = "The product as it is now", body = ProductBody<'static>))
)]
pub(super) async fn replace(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let expected = expected(&api, &request)?;
    let Json { value, .. } = request.json::<DetailsBody>().await?;
    let details = value.into_details().map_err(ProductError::Invalid)?;
    answer(&api.service.edit(&product, expected, ProductEditRequest::Replace(details)).await?)
}

/// Change some of a product's details
#[utoipa::path(
    patch, path = "/v1/products/{id}", tag = "products", operation_id = "patchProduct",
    params(("id" = inline(ProductRefText), Path)),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The product as it is now", body = ProductBody<'static>))
)]
pub(super) async fn patch(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let expected = expected(&api, &request)?;
    let Json { value, .. } = request.merge_patch::<PatchBody>().await?;
    let patch = value.into_patch().map_err(ProductError::Invalid)?;
    answer(&api.service.edit(&product, expected, ProductEditRequest::Patch(patch)).await?)
}

/// Delete a product
///
/// It is in no list any more and cannot be ordered; orders that hold it keep what they need.
#[utoipa::path(
    delete, path = "/v1/products/{id}", tag = "products", operation_id = "deleteProduct",
    params(("id" = inline(ProductRefText), Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(super) async fn delete(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let product = product_ref(&request)?;
    let expected = expected(&api, &request)?;
    api.service.delete(&product, expected).await?;
    Ok(reply::no_content())
}

fn answer(product: &Product) -> Result<Response, Problem> {
    Ok(reply::json(StatusCode::OK, &ProductBody::from(product))?.with_etag(product.version))
}

/// The versions that `If-Match` allows; a weak tag, or one that we never gave, is none of them (RFC 9110, 13.1.1).
fn expected(api: &Api, request: &Request) -> Result<Option<Vec<u64>>, Problem> {
    match request.if_match()? {
        Some(IfMatch::Any) => Ok(None),
        Some(IfMatch::Tags(tags)) => {
            let strong = tags.into_iter().filter(|tag| !tag.weak);
            let versions = strong.filter_map(|tag| {
                // "+1" and "01" would parse too, but are not tags that we give.
                tag.tag.parse().ok().filter(|version: &u64| version.to_string() == tag.tag)
            });
            Ok(Some(versions.collect()))
        }
        None if api.config.require_if_match => {
            Err(Problem::new(428, "if_match_required", "If-Match is needed")
                .detail("send the ETag of the product as If-Match"))
        }
        None => Ok(None),
    }
}
