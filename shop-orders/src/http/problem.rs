//! An error of orders as a client sees it: the one table of statuses and codes.

use std::borrow::Cow;

use serde::Serialize;
use shop_core::http::{MoneySchema, ProblemSchema};
use shop_core::{Problem, chain};
use shop_products::{LineStatus, ProductId, ShortLine, UnknownLine};
use utoipa::openapi::schema::{AllOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::answer::Status;
use crate::OrderError;

/// When to ask again for what is unavailable, in seconds.
const RETRY_AFTER: u32 = 1;

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let said = error.to_string();
        match error {
            OrderError::NotFound => Self::not_found(said),
            OrderError::VersionMismatch { current } => {
                Self::new(412, "version_mismatch", "Not the version that was expected")
                    .detail(format!("the order is at version {current}: read it again"))
                    .with("current_version", current)
            }
            OrderError::IllegalTransition { from, to } => {
                let (from, to) = (Status::from(from), Status::from(to));
                let said = match to {
                    Status::Placed => {
                        format!("only a placed order can be edited; this one is {}", name(from))
                    }
                    _ => format!("an order that is {} cannot become {}", name(from), name(to)),
                };
                Self::new(409, "illegal_transition", "The order's status does not allow it")
                    .detail(said)
                    .with("from", from)
                    .with("to", to)
            }
            OrderError::Invalid(errors) => Self::invalid(errors),
            OrderError::InsufficientStock(lines) => Self::new(409, "insufficient_stock", "Not enough stock")
                .detail(format!("{} without enough stock; nothing was taken", count(lines.len())))
                .with("lines", lines.iter().map(ShortLineAnswer::from).collect::<Vec<_>>()),
            OrderError::UnknownProducts(lines) => {
                Self::new(422, "unknown_product", "A product cannot be ordered")
                    .detail(format!("{} unknown or not for sale; nothing was taken", count(lines.len())))
                    .with("lines", lines.iter().map(UnknownLineAnswer::from).collect::<Vec<_>>())
            }
            OrderError::MixedCurrencies => Self::new(422, "mixed_currencies", "Prices in several currencies")
                .detail("the products of one order must have prices in one currency; nothing was taken"),
            OrderError::PriceChanged { expected, actual } => {
                Self::new(409, "price_changed", "The order would cost something else")
                    .detail(format!("the total is {actual}, not {expected}; nothing was taken"))
                    .with("expected_total", expected)
                    .with("total", actual)
            }
            OrderError::KeyReused => {
                Self::new(422, "idempotency_key_reused", "The Idempotency-Key was used for another request")
                    .detail("use a new key for another request")
            }
            OrderError::KeyInFlight => {
                Self::new(409, "idempotency_key_in_flight", "The request is being worked on")
                    .detail("a request with this Idempotency-Key is being worked on: ask again")
                    .retry_after(RETRY_AFTER)
            }
            OrderError::ProductsUnavailable => {
                Self::new(503, "products_unavailable", "Products are unavailable")
                    .detail("products could not be asked in time; nothing was taken")
                    .retry_after(RETRY_AFTER)
            }
            OrderError::NotPlaced => Self::new(503, "not_placed", "The order was not placed")
                .detail("it took too long, and its stock was given back: ask again")
                .retry_after(RETRY_AFTER),
            OrderError::Unavailable(source) => {
                tracing::warn!(target: "shop_orders::http", error = chain(&*source), "orders are unavailable");
                Self::new(503, "unavailable", "Orders are unavailable")
                    .detail("ask again; with the same Idempotency-Key nothing is done twice")
                    .retry_after(RETRY_AFTER)
            }
            OrderError::Internal(source) => {
                tracing::error!(target: "shop_orders::http", error = chain(&*source), "a request failed");
                Self::internal()
            }
        }
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Placed => "placed",
        Status::Shipped => "shipped",
        Status::Delivered => "delivered",
        Status::Cancelled => "cancelled",
    }
}

fn count(lines: usize) -> String {
    if lines == 1 { "1 line is".into() } else { format!("{lines} lines are") }
}

/// A product that there is not enough of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShortLine)]
struct ShortLineAnswer<'a> {
    #[schema(value_type = String, format = "uuid")]
    product_id: ProductId,
    sku: &'a str,
    /// Units asked for, over all lines of this product.
    requested: i64,
    /// Units that can be taken.
    available: i64,
}

impl<'a> From<&'a ShortLine> for ShortLineAnswer<'a> {
    fn from(line: &'a ShortLine) -> Self {
        Self {
            product_id: line.product_id,
            sku: line.sku.as_str(),
            requested: line.requested,
            available: line.available,
        }
    }
}

/// A line whose product cannot be ordered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnknownLine)]
struct UnknownLineAnswer<'a> {
    /// Which line of the request, from 0.
    line: usize,
    /// As it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    product_id: Option<ProductId>,
    /// As it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sku: Option<&'a str>,
    status: UnknownStatus,
}

impl<'a> From<&'a UnknownLine> for UnknownLineAnswer<'a> {
    fn from(line: &'a UnknownLine) -> Self {
        Self {
            line: line.line,
            product_id: line.product_id,
            sku: line.sku.as_ref().map(|sku| sku.as_str()),
            status: match line.status {
                LineStatus::Inactive => UnknownStatus::Inactive,
                LineStatus::Ok | LineStatus::Insufficient | LineStatus::Unknown => UnknownStatus::Unknown,
            },
        }
    }
}

/// Why a product cannot be ordered.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UnknownStatus {
    /// There is no such product.
    Unknown,
    /// It is a draft or archived.
    Inactive,
}

/// What a 409 says besides.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "a description; the table above makes the answers")]
struct ConflictMembers {
    /// `insufficient_stock`: every product that there is not enough of.
    #[schema(value_type = Option<Vec<ShortLineAnswer<'static>>>, nullable = false)]
    lines: Option<Vec<ShortLineAnswer<'static>>>,
    /// `price_changed`: what the request expected.
    #[schema(nullable = false)]
    expected_total: Option<MoneySchema>,
    /// `price_changed`: what it would cost.
    #[schema(nullable = false)]
    total: Option<MoneySchema>,
    /// `illegal_transition`: where the order stands.
    #[schema(nullable = false)]
    from: Option<Status>,
    /// `illegal_transition`: where it should have gone.
    #[schema(nullable = false)]
    to: Option<Status>,
}

/// What a 422 says besides.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "a description; the table above makes the answers")]
struct UnprocessableMembers {
    /// `unknown_product`: every line whose product cannot be ordered.
    #[schema(value_type = Option<Vec<UnknownLineAnswer<'static>>>, nullable = false)]
    lines: Option<Vec<UnknownLineAnswer<'static>>>,
}

macro_rules! problem_with {
    ($(#[$meta:meta])* $name:ident, $members:ty) => {
        $(#[$meta])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let problem = Ref::from_schema_name(ProblemSchema::name());
                AllOfBuilder::new().item(problem).item(<$members>::schema()).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                <$members>::schemas(schemas);
            }
        }
    };
}

problem_with! {
    /// The problem of a 409.
    OrderConflict, ConflictMembers
}
problem_with! {
    /// The problem of a 422.
    OrderUnprocessable, UnprocessableMembers
}
