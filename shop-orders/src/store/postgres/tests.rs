use sqlx::Row as _;

use shop_core::postgres::TestDatabase;
use shop_products::ReservationId;

use super::*;
use crate::OrderStatus;

const FILL: &str = "
INSERT INTO orders (number, id, version, status, placed_at, customer_id, reference, deleted, body)
    SELECT n, gen_random_uuid(), 1, (ARRAY['placed', 'shipped', 'delivered'])[1 + n % 3], n / 4, 'c' || n % 4,
           'r' || n, n % 50 = 0, '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO order_events (sequence, order_id, kind, at, body) SELECT number, id, 'order.placed', 1, '{}' FROM orders;
ANALYZE;
";

async fn plan(store: &PgOrderStore, query: Query) -> String {
    let steps = store.db.read("explain", query).await.expect("explain");
    steps.iter().map(|step| format!("{}\n", step.get::<String, _>(0))).collect()
}

#[tokio::test]
async fn a_page_is_a_walk_along_an_index_whatever_the_filter() {
    let database = TestDatabase::create().await;
    let config = PgConfig { connections: 1, ..PgConfig::default() };
    let store = PgOrderStore::connect_with(&database.url(), config).await.expect("connect");
    sqlx::Executor::execute(&mut database.connect().await, sqlx::raw_sql(FILL)).await.expect("fill");
    let at = Timestamp::from_millis;
    let id = OrderId::generate();
    let text = |text: &str| Some(text.to_owned());
    let all = OrderQuery::default();
    let queries = [
        all.clone(),
        OrderQuery { placed_after: Some(at(1_000)), placed_before: Some(at(4_000)), ..all.clone() },
        OrderQuery { status: Some(OrderStatus::Placed), ..all.clone() },
        OrderQuery { customer_id: text("c3"), status: Some(OrderStatus::Placed), ..all.clone() },
        OrderQuery { reference: text("r7"), ..all },
    ];
    for query in queries {
        for ascending in [false, true] {
            for after in [None, Some(OrderKey { ascending, placed_at: at(2_500), id })] {
                let query = OrderQuery { ascending, ..query.clone() };
                let page = PageRequest { after, ..PageRequest::default() };
                let select = "EXPLAIN (COSTS OFF) SELECT body::text FROM orders";
                let plan = plan(&store, read::orders_as(select, &query, &page).expect("a query")).await;
                assert!(plan.contains("Index Scan"), "{query:?}: {plan}");
                // What one reference has is sorted as fast as it is walked.
                assert!(!plan.contains("Sort") || query.reference.is_some(), "{query:?}: {plan}");
                let from_the_key =
                    if ascending { "(ROW(placed_at, id) > ROW(" } else { "(ROW(placed_at, id) < ROW(" };
                assert!(after.is_none() || plan.contains(from_the_key), "{query:?}: {plan}");
            }
        }
    }
    for of in [None, Some(id)] {
        let sql = "EXPLAIN (COSTS OFF) SELECT * FROM order_events WHERE sequence > 17000";
        let of = of.map_or(String::new(), |id| format!(" AND order_id = '{id}'"));
        let plan = plan(&store, Query::new(format!("{sql}{of} ORDER BY sequence LIMIT 100"))).await;
        assert!(plan.contains("Index Scan") && !plan.contains("Sort"), "{plan}");
    }
}

#[tokio::test]
async fn a_load_finds_all_its_parts_by_an_index() {
    let database = TestDatabase::create().await;
    let config = PgConfig { connections: 1, ..PgConfig::default() };
    let store = PgOrderStore::connect_with(&database.url(), config).await.expect("connect");
    let mut connection = database.connect().await;
    let fill = "INSERT INTO order_decisions SELECT gen_random_uuid(), 'k' || number, 1, id, 1 FROM orders; \
                INSERT INTO order_records SELECT 'k' || number, sha256('k'), 201, 'l', 'e', '{}', 1 FROM orders; ANALYZE";
    for script in [FILL, fill] {
        sqlx::Executor::execute(&mut connection, sqlx::raw_sql(script)).await.expect("fill");
    }
    let footprint = Footprint {
        orders: (0..64).map(|_| OrderId::generate()).collect(),
        keys: (0..64).map(|n| format!("k{n}").parse().expect("a key")).collect(),
        reservations: (0..64).map(|_| ReservationId::generate()).collect(),
        numbers: 1,
    };
    let plan = plan(&store, read::explain_load(&footprint)).await;
    assert!(!plan.contains("Seq Scan"), "{plan}");
    for index in [
        "orders_pkey",
        "orders_id_key",
        "order_decisions_pkey",
        "order_decisions_placed",
        "order_records_pkey",
    ] {
        assert!(plan.contains(index), "{index}: {plan}");
    }
}
