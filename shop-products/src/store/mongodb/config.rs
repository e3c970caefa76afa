use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::{
    ClientOptions, DriverInfo, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Database};
use shop_core::{StoreError, StoreErrorKind, StoreResult};

use super::abandoned::mark;
use super::error::classified;

/// How the database is used. What the URL says of pool and timeouts goes before this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoConfig {
    /// The database, if the URL names none.
    pub database: String,
    /// The most connections to the primary.
    pub connections: u32,
    /// How long to look for a primary, and to connect to it, before an operation is refused as unavailable.
    pub connect_timeout: Duration,
    /// How long a caller waits for the server's answers; what was begun then still runs to its end.
    pub patience: Duration,
    /// How long a commit of unknown result is asked for again.
    pub commit_patience: Duration,
    /// How long a transaction on this database may have been idle, by the server's clock, before an instance in whose way
    /// it is ends it: its process is gone, or stopped. None that is alive is idle for longer than its next command is on
    /// the network; if one is ended after all, it is run again.
    pub abandoned_after: Duration,
}

impl Default for MongoConfig {
    fn default() -> Self {
        Self {
            database: "shop_products".to_owned(),
            connections: 16,
            connect_timeout: Duration::from_secs(3),
            patience: Duration::from_secs(20),
            commit_patience: Duration::from_secs(5),
            abandoned_after: Duration::from_secs(3),
        }
    }
}

/// What is said to a server that is no part of a replica set.
const STANDALONE: &str = "this mongod is a standalone server, and a hold is a transaction, which needs a replica set; one \
     node will do: start it with `--replSet rs0`, and run `rs.initiate()` once in mongosh";

impl MongoConfig {
    /// Connects, and looks at who answers.
    pub(super) async fn open(&self, url: &str) -> StoreResult<Database> {
        let mut options = ClientOptions::parse(url).await.map_err(|e| {
            StoreError::new(StoreErrorKind::Internal, "read the URL of MongoDB").with_source(e)
        })?;
        options.app_name.get_or_insert_with(|| "shop-products".to_owned());
        options.server_selection_timeout.get_or_insert(self.connect_timeout);
        options.connect_timeout.get_or_insert(self.connect_timeout);
        options.max_pool_size.get_or_insert(self.connections.max(4));
        // Not for a URL to say: what was acknowledged is never lost, and what was committed is what is read.
        options.write_concern =
            Some(WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build());
        options.read_concern = Some(ReadConcern::majority());
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let name = options.default_database.clone().unwrap_or_else(|| self.database.clone());
        options.driver_info = Some(DriverInfo::builder().name(mark(&name)).build());
        let client = Client::with_options(options).map_err(|e| classified("connect to MongoDB", e))?;
        let hello = client
            .database("admin")
            .run_command(doc! { "hello": 1 })
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .await
            .map_err(|e| classified("connect to MongoDB", e))?;
        replicated(&hello)?;
        Ok(client.database(&name))
    }
}

/// Refuses a standalone server.
fn replicated(hello: &Document) -> StoreResult<()> {
    let routed = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if routed || hello.get_str("setName").is_ok() {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Internal, "connect to MongoDB").with_source(STANDALONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_standalone_server_is_refused() {
        assert!(replicated(&doc! { "setName": "rs0", "isWritablePrimary": true }).is_ok());
        assert!(replicated(&doc! { "msg": "isdbgrid" }).is_ok());
        let refused = replicated(&doc! { "isWritablePrimary": true }).unwrap_err();
        assert!(refused.chain().contains("rs.initiate()"));
    }
}
