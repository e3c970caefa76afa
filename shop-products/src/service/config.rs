use std::time::Duration;

use shop_core::CombinerConfig;

/// How a [`ProductService`](crate::ProductService) works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductServiceConfig {
    /// How writes are gathered into transactions. `queue` is also how many writes may wait.
    pub combiner: CombinerConfig,
    /// The most products that the in-memory stock view holds, about 70 bytes each; the others are read from the store.
    pub view_capacity: usize,
    /// How long a write waits for room in the queue before it is refused as unavailable.
    pub queue_wait: Duration,
    /// For how long a batch that lost a race with another instance is decided again. Longer than it takes until what a dead
    /// instance has left no longer stands in the way, which on MongoDB is its store's `abandoned_after`; and shorter than a
    /// caller's patience, so that it hears of it.
    pub race_time: Duration,
    /// How long idempotency records, and reservations that ended, are kept.
    pub idempotency_ttl: Duration,
    /// How often held reservations are looked through for such that have expired.
    pub expiry_interval: Duration,
    /// How often what is kept no longer is deleted.
    pub purge_interval: Duration,
}

impl Default for ProductServiceConfig {
    fn default() -> Self {
        Self {
            combiner: CombinerConfig::default(),
            view_capacity: 200_000,
            queue_wait: Duration::from_secs(5),
            race_time: Duration::from_secs(4),
            idempotency_ttl: Duration::from_secs(24 * 3_600),
            expiry_interval: Duration::from_secs(1),
            purge_interval: Duration::from_secs(3_600),
        }
    }
}
