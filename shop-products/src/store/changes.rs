//! What other instances over the same store have changed: [`ProductChanges`].

use std::fmt;

use async_trait::async_trait;
use shop_core::{StoreResult, Timestamp};

use crate::ProductId;

/// A subscription to the changes of a store's products, of whichever instance, as
/// [`ProductStore::changes`](super::ProductStore::changes) gives it.
///
/// # Contract
/// - The first item is a [`ProductChange::Gap`]. Every change committed after an item was given is told by a later item,
///   as long as no `Err` is given.
/// - A change is told after its commit: who reads the product then sees it, or a later one.
/// - A lost connection is an `Err`, at the latest some seconds after it was lost. The next call connects again; once it is,
///   the next item is a [`ProductChange::Gap`].
/// - One product may be told of often, twice for one change, or without a change.
/// - While it runs, a [`ProductChange::Current`] comes every second or sooner, whether there are changes or not.
#[async_trait]
pub trait ProductChanges: fmt::Debug + Send {
    /// Waits for the next item.
    ///
    /// # Errors
    /// If the stream is lost, or cannot be had now. Never ends: call again, after a pause.
    ///
    /// # Cancel safety
    /// A dropped call loses no item.
    async fn next(&mut self) -> StoreResult<ProductChange>;
}

/// What is told of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProductChange {
    /// These products were made, edited or deleted, or their stock was changed.
    Changed(Vec<ChangedProduct>),
    /// From here on changes are told; any before may have been missed.
    Gap,
    /// Every change since the [`Gap`](Self::Gap) whose commit was done before this moment was told by an earlier item. By
    /// the clock that the store was opened with, read before the database was asked.
    Current(Timestamp),
}

/// A product that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedProduct {
    /// Which.
    pub id: ProductId,
    /// The version that the change made; `None` if the store does not tell.
    pub version: Option<u64>,
}
