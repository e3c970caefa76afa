use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shop_core::{Page, PageRequest, Timestamp};

use crate::{
    HoldLine, HoldRequest, ProductId, ProductRef, Reservation, ReservationId, ReservationState,
    SettleOutcome, Settlement, Sku,
};

/// What an orders service needs of products, in process or over the network.
///
/// # Contract
/// - [`hold`](Self::hold) is one atomic step over all lines. The same id and lines again give the same reservation.
/// - [`settle`](Self::settle) is at least once: a repeated, late or reordered settlement changes nothing more.
/// - An error with [`CatalogError::is_unknown`] says nothing about what happened: ask again with the same id.
///
/// # Cancel safety
/// A dropped future drops the answer only; what was asked may be done.
#[async_trait]
pub trait ProductCatalog: fmt::Debug + Send + Sync + 'static {
    /// Whether there is enough, now. An answer, not a promise.
    ///
    /// # Errors
    /// Only if products cannot be asked; unknown products are lines of the answer.
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError>;

    /// Takes all lines or none.
    ///
    /// # Errors
    /// [`CatalogError::InsufficientStock`] and [`CatalogError::UnknownProducts`] list every such line and take nothing;
    /// [`CatalogError::Released`] and [`CatalogError::OtherLines`] if the id was used before.
    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError>;

    /// Settles many reservations; one outcome a settlement, in order.
    ///
    /// # Errors
    /// If products cannot be asked; then some may be settled: repeat all.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError>;

    /// The reservations of an owner that are still held and were created before a time, oldest first.
    ///
    /// # Errors
    /// If products cannot be asked.
    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError>;

    /// The reservations of an owner in every state, oldest first. Those that ended are there for a day, then forgotten.
    ///
    /// # Errors
    /// If products cannot be asked.
    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError>;

    /// Reservations by id, whoever's they are: one an id, in order; `None` if products do not know it. At most 500 ids.
    ///
    /// # Errors
    /// If products cannot be asked.
    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError>;
}

/// Place in a list of reservations: creation time, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldKey(pub Timestamp, pub ReservationId);

/// A reservation that waits for its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldReservation {
    /// Its id.
    pub id: ReservationId,
    /// Since when it is held.
    pub created_at: Timestamp,
}

/// The answer to a stock check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCheck {
    /// Whether every line is [`LineStatus::Ok`].
    pub available: bool,
    /// The time that the answer is true of: all that any instance committed before is in it. What came later may be too.
    pub as_of: Timestamp,
    /// One a line asked for, in order.
    pub lines: Vec<CheckedLine>,
}

/// One line of a stock check's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedLine {
    /// The product; `None` if a SKU was asked for that is not known.
    pub product_id: Option<ProductId>,
    /// Its SKU; `None` if an id was asked for that is not known.
    pub sku: Option<Sku>,
    /// Units asked for.
    pub requested: i64,
    /// Units that can be taken.
    pub available: i64,
    /// What that comes to.
    pub status: LineStatus,
}

/// Whether a line can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineStatus {
    /// Enough.
    Ok,
    /// Not enough.
    Insufficient,
    /// No such product.
    Unknown,
    /// Draft or archived.
    Inactive,
}

/// A line that cannot be supplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortLine {
    /// The product.
    pub product_id: ProductId,
    /// Its SKU.
    pub sku: Sku,
    /// Units asked for, over all lines of this product.
    pub requested: i64,
    /// Units that can be taken.
    pub available: i64,
}

/// A line whose product cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownLine {
    /// Which line of the request, from 0.
    pub line: usize,
    /// The id that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub product_id: Option<ProductId>,
    /// The SKU that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sku: Option<Sku>,
    /// [`LineStatus::Unknown`] or [`LineStatus::Inactive`].
    pub status: LineStatus,
}

impl UnknownLine {
    /// For the line that named `product`.
    pub fn new(line: usize, product: &ProductRef, status: LineStatus) -> Self {
        let (product_id, sku) = match product {
            ProductRef::Id(id) => (Some(*id), None),
            ProductRef::Sku(sku) => (None, Some(sku.clone())),
        };
        Self { line, product_id, sku, status }
    }
}

/// Why products did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Some products do not have enough; every one of them is listed. Nothing was taken.
    #[error("insufficient stock")]
    InsufficientStock(Vec<ShortLine>),
    /// Some products do not exist or are not for sale; every such line is listed. Nothing was taken.
    #[error("unknown products")]
    UnknownProducts(Vec<UnknownLine>),
    /// The reservation is settled already: released, or fulfilled.
    #[error("the reservation is {0:?}")]
    Released(ReservationState),
    /// The reservation's id was used for other lines.
    #[error("the reservation holds other lines")]
    OtherLines,
    /// The request is not valid; products would refuse it every time.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Products cannot be asked or did not answer in time. What was asked may have been done.
    #[error("products are unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Products are known to be out of reach, so they were not asked: nothing was done, and asking again at once is of no
    /// use.
    #[error("products are out of reach")]
    NotSent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CatalogError {
    /// Whether what was asked may have been done all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether products said nothing about the request, so that the same may well succeed later.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotSent(_))
    }
}
