//! A primary that steps down inside a hold, on a server of its own.

use tokio::time::timeout;

use super::*;

const APPLICATION: &str = "holds";

/// What the step-down meets.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// A transaction that has written the products and not yet the reservation.
    HalfWritten,
    /// A transaction whose commit is on its way.
    BeforeCommit,
    /// A commit that was done, and whose result was not told.
    AfterCommit,
}

/// The primary steps down for a second; alone in its set, it is elected again.
async fn step_down(admin: &mongodb::Database) {
    let down = doc! { "replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": true };
    admin.run_command(down).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_20_a_primary_that_steps_down_inside_a_hold_leaves_it_done_once() {
    let mongod = Mongod::replica_set().await;
    let admin = mongod.admin().await;
    let url = format!("mongodb://{}/?replicaSet=rs0&appName={APPLICATION}", mongod.address());
    // It connects as soon as there is a primary.
    let config = MongoConfig { connect_timeout: Duration::from_secs(60), ..MongoConfig::default() };
    let store = MongoProductStore::connect_with(&url, config, Arc::new(SystemClock)).await.unwrap();
    let service = ProductService::start(Arc::new(store.clone()), Arc::new(SystemClock), Default::default());
    for moment in [Moment::HalfWritten, Moment::BeforeCommit, Moment::AfterCommit] {
        let one = product(&format!("{moment:?}"), 5, 0);
        store.commit(&made(&one)).await.unwrap();
        let stuck = doc! { "blockConnection": true, "blockTimeMS": 500 };
        let lost =
            doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
        let (command, mode, how) = match moment {
            Moment::HalfWritten => ("insert", doc! { "times": 1 }, stuck),
            Moment::BeforeCommit => ("commitTransaction", doc! { "times": 1 }, stuck),
            Moment::AfterCommit => ("commitTransaction", doc! { "times": 2 }, lost),
        };
        let point = Failing::commands(admin.clone(), APPLICATION, &[command], mode, how).await;
        let (holds, wanted) = (service.clone(), request(vec![line(one.id, 2)]));
        let id = wanted.id;
        let holding = tokio::spawn(async move { holds.hold(&wanted).await });
        point.met().await;
        step_down(&admin).await;
        let held = timeout(Duration::from_secs(30), holding).await.expect("in time").unwrap();
        held.unwrap_or_else(|error| panic!("{moment:?}: {error:?}"));
        point.stop().await;
        assert_eq!(by_id(&store, one.id).await.unwrap().stock.allocated, 2, "{moment:?}: once");
        let footprint = Footprint { reservations: [id].into(), ..Footprint::default() };
        assert!(store.load(&footprint).await.unwrap().reservations.contains_key(&id), "{moment:?}");
    }
}
