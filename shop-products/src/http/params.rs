//! The query parameters of the lists.

use serde::{Deserialize, Deserializer};
use shop_core::{Limit, Money, Timestamp};
use utoipa::IntoParams;

use super::schema::{OwnerText, ProductStatusName, ReservationStateName, SkuText, TagText, TimeText};
use crate::store::{ProductQuery, ProductSort, ProductSortField, ReservationQuery};
use crate::{ProductStatus, ReservationState, Sku};

/// `GET /v1/products`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Every word of it occurs in the name, the description, the SKU or a tag; the last word may be the beginning of one.
    #[serde(default, deserialize_with = "words")]
    #[param(max_length = 255, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    q: Option<String>,
    /// Has this SKU.
    #[param(inline, value_type = Option<SkuText>)]
    sku: Option<Sku>,
    /// Has this tag.
    #[serde(default, deserialize_with = "tag")]
    #[param(inline, value_type = Option<TagText>)]
    tag: Option<String>,
    /// Has this status.
    #[param(inline, value_type = Option<ProductStatusName>)]
    status: Option<ProductStatus>,
    /// Costs at least so much, whatever the currency.
    #[serde(default, deserialize_with = "price")]
    #[param(value_type = Option<String>, pattern = r"^(0|[1-9][0-9]{0,13})(\.[0-9]{1,4})?$")]
    price_min: Option<i64>,
    /// Costs at most so much, whatever the currency.
    #[serde(default, deserialize_with = "price")]
    #[param(value_type = Option<String>, pattern = r"^(0|[1-9][0-9]{0,13})(\.[0-9]{1,4})?$")]
    price_max: Option<i64>,
    /// `true`: something is available; `false`: nothing is.
    in_stock: Option<bool>,
    /// The order, `created_at` unless said otherwise; `-` is largest first.
    #[param(inline, value_type = Option<Sort>)]
    sort: Option<Sort>,
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    pub(super) limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1, pattern = "^[A-Za-z0-9_-]+$")]
    pub(super) cursor: Option<String>,
    /// `total`: how many there are on all pages.
    #[param(inline)]
    pub(super) include: Option<Include>,
}

/// What a list tells besides its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Include {
    /// How many rows there are.
    Total,
}

/// The order of a list of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub(super) enum Sort {
    #[serde(rename = "created_at")]
    CreatedAt,
    #[serde(rename = "-created_at")]
    CreatedAtDown,
    #[serde(rename = "updated_at")]
    UpdatedAt,
    #[serde(rename = "-updated_at")]
    UpdatedAtDown,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "sku")]
    Sku,
    #[serde(rename = "-sku")]
    SkuDown,
    #[serde(rename = "price")]
    Price,
    #[serde(rename = "-price")]
    PriceDown,
}

impl From<Sort> for ProductSort {
    fn from(sort: Sort) -> Self {
        let (field, descending) = match sort {
            Sort::CreatedAt => (ProductSortField::CreatedAt, false),
            Sort::CreatedAtDown => (ProductSortField::CreatedAt, true),
            Sort::UpdatedAt => (ProductSortField::UpdatedAt, false),
            Sort::UpdatedAtDown => (ProductSortField::UpdatedAt, true),
            Sort::Name => (ProductSortField::Name, false),
            Sort::NameDown => (ProductSortField::Name, true),
            Sort::Sku => (ProductSortField::Sku, false),
            Sort::SkuDown => (ProductSortField::Sku, true),
            Sort::Price => (ProductSortField::Price, false),
            Sort::PriceDown => (ProductSortField::Price, true),
        };
        Self { field, descending }
    }
}

impl ListParams {
    /// The query; the page's parameters are left.
    pub(super) fn query(&mut self) -> ProductQuery {
        ProductQuery {
            text: self.q.take().filter(|text| !text.trim().is_empty()),
            sku: self.sku.take(),
            tag: self.tag.take(),
            status: self.status,
            price_min: self.price_min,
            price_max: self.price_max,
            in_stock: self.in_stock,
            sort: self.sort.map(ProductSort::from).unwrap_or_default(),
        }
    }
}

/// `GET /v1/reservations`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReservationParams {
    /// In this state.
    #[param(inline, value_type = Option<ReservationStateName>)]
    state: Option<ReservationState>,
    /// Of this owner.
    #[serde(default, deserialize_with = "tag")]
    #[param(inline, value_type = Option<OwnerText>)]
    owner: Option<String>,
    /// Made before then.
    #[param(inline, value_type = Option<TimeText>)]
    created_before: Option<Timestamp>,
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    pub(super) limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1, pattern = "^[A-Za-z0-9_-]+$")]
    pub(super) cursor: Option<String>,
}

impl ReservationParams {
    pub(super) fn query(&mut self) -> ReservationQuery {
        ReservationQuery { state: self.state, owner: self.owner.take(), created_before: self.created_before }
    }
}

/// A list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    pub(super) limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1, pattern = "^[A-Za-z0-9_-]+$")]
    pub(super) cursor: Option<String>,
}

/// `POST /v1/products/import`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportParams {
    /// Says what would be done, and does nothing.
    #[serde(default)]
    #[param(required = false)]
    pub(super) dry_run: bool,
}

/// `GET /v1/products/export`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportParams {
    /// Instead of `Accept`.
    #[param(inline)]
    pub(super) format: Option<Format>,
}

/// How products travel in bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// A JSON object a line.
    Ndjson,
    /// RFC 4180, with a header row.
    Csv,
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, 0, 255)
}

fn tag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, 1, 64)
}

fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    min: usize,
    max: usize,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits = (min..=max).contains(&text.chars().count()) && (min == 0 || !text.trim().is_empty());
    if !fits || text.chars().any(char::is_control) {
        return Err(serde::de::Error::custom(format!(
            "must be {min} to {max} characters, no control characters"
        )));
    }
    Ok(Some(text))
}

/// A decimal as ten-thousandths. CLF has four decimals, the most that there are.
fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match format!("{text} CLF").parse::<Money>() {
        Ok(price) if price.minor() >= 0 => Ok(Some(price.minor())),
        _ => Err(serde::de::Error::custom("must be a decimal of at most 4 decimals, not negative")),
    }
}

#[cfg(test)]
mod tests {
    use shop_core::http::from_query_str;

    use super::*;

    #[test]
    fn prices_are_ten_thousandths() {
        let mut params: ListParams = from_query_str("price_min=19.9&price_max=20&sort=-price&q=").unwrap();
        let query = params.query();
        assert_eq!((query.price_min, query.price_max, query.text), (Some(199_000), Some(200_000), None));
        assert_eq!(query.sort, ProductSort { field: ProductSortField::Price, descending: true });
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for bad in [
            "price_min=-1",
            "price_min=1e3",
            "price_max=0.00001",
            "limit=0",
            "limit=501",
            "sku=",
            "tag=",
            "q=%00",
            "sort=size",
            "include=all",
            "colour=red",
            "status=gone",
            "in_stock=1",
            "tag=a&tag=b",
        ] {
            let problem = from_query_str::<ListParams>(bad).unwrap_err();
            let name = bad.split('=').next().unwrap();
            assert_eq!(problem.errors[0].pointer, format!("?{name}"), "{bad}");
        }
    }
}
