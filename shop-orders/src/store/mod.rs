//! The storage port of orders: [`OrderStore`].

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shop_core::idempotency::{IdempotencyKey, IdempotencyRecord};
use shop_core::{PageRequest, StoreResult, Timestamp};
use shop_products::{ReservationId, Settlement};

use crate::{Decision, Event, NewEvent, Order, OrderId, OrderStatus};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod body;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// Where orders are kept.
///
/// # Contract
/// The service decides on a [`Snapshot`] and writes the outcome as one [`ChangeSet`]; a store only keeps it. What must hold:
/// - [`commit`](Self::commit) is atomic and durable: all of a change set or nothing, and once it returned `Ok` a crash of
///   this process, of the store or of the machine does not undo it.
/// - Every write says what it expects; a write whose expectation does not hold fails the whole change set with
///   [`StoreErrorKind::Conflict`](shop_core::StoreErrorKind::Conflict), and the service loads and decides again. The
///   expectation is checked in the same atomic step as the write.
/// - After `Ok` from `commit`, every later read of any instance sees the change set.
/// - Events get their sequence in the order of the change set; a reader never sees an event while one with a lower
///   sequence is still to come.
/// - A clone of a store, or another instance of it over the same data, is the same store.
///
/// # Cancel safety
/// Dropping a future of a store must not leave a transaction open or a connection unusable; whether the commit happened
/// is then unknown.
#[async_trait]
pub trait OrderStore: fmt::Debug + Send + Sync + 'static {
    /// Reads what a batch of decisions needs. What does not exist is absent; deleted orders are found.
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot>;

    /// Writes all of a change set or nothing.
    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()>;

    /// A page of orders that are not deleted, by `placed_at` then id: up to `limit + 1` rows after the key. A row
    /// inserted or changed meanwhile shifts no other row.
    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>>;

    /// How many orders a query has, on all pages.
    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64>;

    /// Up to `limit` events with a sequence above `after`, in order; of one order if it is named.
    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>>;

    /// Up to `limit` open settlements that no other worker has claimed for less than `lease` ago (by the store's clock),
    /// oldest first, now claimed by the caller.
    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>>;

    /// Closes settlements that were acknowledged. Those that are closed already are passed over.
    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()>;

    /// How many settlements are open, and up to `limit` of them, oldest first, whoever claimed them. Claims nothing.
    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)>;

    /// Forgets up to `limit` idempotency records from before `records_before` (with the keys of their decisions), and up to
    /// `limit` expired decisions from before `decisions_before`. Returns how many rows went.
    async fn purge(
        &self,
        records_before: Timestamp,
        decisions_before: Timestamp,
        limit: usize,
    ) -> StoreResult<u64>;

    /// Whether the store can be used now; for readiness.
    async fn ping(&self) -> StoreResult<()>;
}

/// What a batch of decisions touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Orders by id.
    pub orders: BTreeSet<OrderId>,
    /// The idempotency records and the placed decisions of these keys: one of each at most. Attempts of a key that were
    /// given up may be many; they are found by their reservations.
    pub keys: BTreeSet<IdempotencyKey>,
    /// Decisions of these reservations, each with its order if it was placed.
    pub reservations: BTreeSet<ReservationId>,
    /// Numbers for so many new orders; the service may give others that are free.
    pub numbers: u64,
}

/// What a store holds of a footprint.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The store's clock at the read.
    pub now: Timestamp,
    /// The orders found.
    pub orders: HashMap<OrderId, Order>,
    /// The idempotency records found.
    pub records: HashMap<IdempotencyKey, IdempotencyRecord>,
    /// The decisions found, by reservation or as the placed one of a key.
    pub decisions: HashMap<ReservationId, Decision>,
    /// The first of the numbers asked for, above all that orders have; the others follow it.
    pub first_number: u64,
}

/// What a batch of decisions writes: all or nothing, each write with what it expects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeSet {
    /// Expected: no order has this id or number.
    pub created: Vec<Order>,
    /// Orders that replace what is there.
    pub edited: Vec<OrderEdit>,
    /// Expected: no decision has this reservation, and for a placed one with a key, no placed decision has this key.
    pub decisions: Vec<Decision>,
    /// Appended to the log, in this order.
    pub events: Vec<NewEvent>,
    /// Expected: no record has this key.
    pub records: Vec<IdempotencyRecord>,
    /// Put into the outbox, in this order.
    pub settlements: Vec<Settlement>,
}

impl ChangeSet {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An order that replaces what is there.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderEdit {
    /// The order as it is to be.
    pub order: Order,
    /// Expected: the order is there with this version.
    pub expected_version: u64,
}

/// A settlement that products have not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSettlement {
    /// Its place in the outbox.
    pub sequence: u64,
    /// When it was put there.
    pub at: Timestamp,
    /// What products are to be told.
    pub settlement: Settlement,
}

/// Which orders a list shows. Fields narrow it down together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderQuery {
    /// Has this status.
    pub status: Option<OrderStatus>,
    /// Of this customer.
    pub customer_id: Option<String>,
    /// With this reference.
    pub reference: Option<String>,
    /// Placed at this time or later.
    pub placed_after: Option<Timestamp>,
    /// Placed before this time.
    pub placed_before: Option<Timestamp>,
    /// Oldest first; newest first if `false`.
    pub ascending: bool,
}

/// Place in a list of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderKey {
    /// The direction that the list has; a cursor of the other direction is refused.
    pub ascending: bool,
    /// When the order was placed.
    pub placed_at: Timestamp,
    /// The order.
    pub id: OrderId,
}
