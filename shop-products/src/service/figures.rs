/// What a service knows of itself, for `/status` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct ProductFigures {
    /// Products in the stock view.
    pub view_products: usize,
    /// The most products that the stock view holds.
    pub view_capacity: usize,
    /// Whether stock checks are answered from the view: it is known what others have written. `false`: from the store.
    pub view_fresh: bool,
    /// Products of which the store told that they were written, by whichever instance.
    pub view_told: u64,
    /// How often the view was emptied, since the store may have told of less than was written; once at the start.
    pub view_gaps: u64,
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
