use shop_products::store::mongodb::TestDatabase;

/// A database of its own for a test, dropped with this.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) name: String,
    /// Only kept.
    _database: TestDatabase,
}

impl Database {
    pub(crate) fn fresh() -> Self {
        let database = TestDatabase::fresh();
        Self { url: database.url().to_owned(), name: database.name().to_owned(), _database: database }
    }
}
