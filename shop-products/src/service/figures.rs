/// What a service knows of itself, for `/status` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct ProductFigures {
    /// Products in the stock view.
    pub view_products: usize,
    /// The most products that the stock view holds.
    pub view_capacity: usize,
    /// Stock checks' lines that had to be read from the store.
    pub view_misses: u64,
    /// Transactions committed.
    pub batches: u64,
    /// Commands decided in them.
    pub commands: u64,
    /// Batches decided again, since another instance was first.
    pub conflicts: u64,
    /// Batches that failed with an error of the store.
    pub failures: u64,
    /// Holds that took stock.
    pub holds: u64,
    /// Reservations that this instance released since they had expired.
    pub expired: u64,
    /// Writes that wait or run.
    pub waiting: usize,
}
