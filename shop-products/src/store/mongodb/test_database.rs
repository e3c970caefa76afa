use std::thread;

use mongodb::Client;
use shop_core::id::Uuid;

/// The variable that names the replica set on which tests make their databases.
pub const TEST_MONGODB_URL: &str = "SHOP_TEST_MONGODB_URL";

/// A database of its own for a test, dropped with this. `MongoDB` makes it with the first write.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    name: String,
}

impl TestDatabase {
    /// A new name on the server that [`TEST_MONGODB_URL`] names. If that asks for a password, the URL says its `authSource`.
    ///
    /// # Panics
    /// If the variable is not set: a missing server is a failure, not a reason to skip.
    pub fn fresh() -> Self {
        let server = std::env::var(TEST_MONGODB_URL).unwrap_or_else(|_| {
            panic!(
                "{TEST_MONGODB_URL} is not set: run `cargo xtask test`, which starts a MongoDB, or set it to the URL of a \
                 replica set, such as mongodb://127.0.0.1:27017/?replicaSet=rs0"
            )
        });
        let name = format!("shop_test_{}", Uuid::now_v7().simple());
        Self { url: in_database(&server, &name), name }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A server's URL with this database instead of the one that it names, if it names one.
fn in_database(server: &str, name: &str) -> String {
    let hosts = server.find("://").map_or(0, |at| at + 3);
    let end = server[hosts..].find(['/', '?']).map_or(server.len(), |at| hosts + at);
    let options = server[end..].find('?').map_or("", |at| &server[end + at..]);
    format!("{}/{name}{options}", &server[..end])
}

impl Drop for TestDatabase {
    /// On a thread of its own: the runtime of the test may be ending. What a crashed test leaves is called `shop_test_…`.
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { Client::with_uri_str(&url).await?.database(&name).drop().await })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            tracing::warn!(database = self.name, "a test's database could not be dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_database;

    #[test]
    fn a_url_gets_the_tests_database() {
        for (server, expected) in [
            ("mongodb://h", "mongodb://h/t"),
            ("mongodb://h:1,i:2/", "mongodb://h:1,i:2/t"),
            ("mongodb://h/?replicaSet=rs0", "mongodb://h/t?replicaSet=rs0"),
            ("mongodb://h?replicaSet=rs0", "mongodb://h/t?replicaSet=rs0"),
            ("mongodb://u:p@h/other?authSource=admin", "mongodb://u:p@h/t?authSource=admin"),
        ] {
            assert_eq!(in_database(server, "t"), expected);
        }
    }
}
