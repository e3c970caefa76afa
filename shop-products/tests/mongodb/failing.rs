use mongodb::bson::{Bson, Document, doc};
use tokio::sync::{Mutex, MutexGuard};

use super::Database;

/// Makes commands of one application fail, until it is told not to.
pub(crate) struct Failing {
    admin: mongodb::Database,
    /// How often the point had been met when it was set.
    before: i64,
}

impl Failing {
    /// Commits of the clients of a database; `mode` and `how` as `failCommand` has them.
    pub(crate) async fn commits(database: &Database, mode: Document, how: Document) -> Self {
        Self::commands(database.admin().await, &database.name, &["commitTransaction"], mode, how).await
    }

    pub(crate) async fn commands(
        admin: mongodb::Database,
        application: &str,
        commands: &[&str],
        mode: impl Into<Bson>,
        mut how: Document,
    ) -> Self {
        how.extend(doc! { "failCommands": commands, "appName": application });
        let fail = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": how };
        let set = admin.run_command(fail).await.expect("mongod runs with enableTestCommands=1");
        let before = set.get_i32("count").map(i64::from).or_else(|_| set.get_i64("count"));
        Self { admin, before: before.expect("how often it was met") }
    }

    /// Waits until a command has met it.
    pub(crate) async fn met(&self) {
        let wait =
            doc! { "waitForFailPoint": "failCommand", "timesEntered": self.before + 1, "maxTimeMS": 30_000 };
        self.admin.run_command(wait).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.admin.run_command(off).await.unwrap();
    }
}

/// There is one such point in a server: tests that use it go one after another.
pub(crate) async fn one_at_a_time() -> MutexGuard<'static, ()> {
    static FAILING: Mutex<()> = Mutex::const_new(());
    FAILING.lock().await
}
