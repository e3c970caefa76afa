use shop_core::id::Uuid;

/// A database of its own for a test, dropped with this.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn fresh() -> Self {
        let url = std::env::var("SHOP_TEST_MONGODB_URL")
            .expect("SHOP_TEST_MONGODB_URL names a replica set, as `cargo xtask test` does");
        Self { url, name: format!("shop_test_{}", Uuid::now_v7().simple()) }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // A runtime of its own: this may be dropped inside one.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let client = mongodb::Client::with_uri_str(&url).await.unwrap();
                client.database(&name).drop().await.unwrap();
            });
        });
        assert!(
            dropped.join().is_ok() || std::thread::panicking(),
            "the test's database could not be dropped"
        );
    }
}
