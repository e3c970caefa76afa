use sqlx::Row as _;

use shop_core::Limit;
use shop_core::postgres::TestDatabase;

use super::*;
use crate::store::{ProductSort, ProductSortField, SortValue};
use crate::{ProductStatus, ReservationId, ReservationState};

/// 20,000 products: one in 50 is deleted, all have the word `usual`, one in 1,000 is rare, is a draft and is sold out.
const FILL: &str = "
INSERT INTO products (id, live_sku, name, price, status, created_at, updated_at, words, tags, body)
    SELECT gen_random_uuid(), CASE WHEN n % 50 <> 1 THEN 's' || n END, 'name ' || n % 5000, n % 7000,
           CASE WHEN n % 1000 = 0 THEN 0 ELSE 1 END, n / 4, n / 3,
           array_to_tsvector(CASE WHEN n % 1000 = 0 THEN ARRAY['usual', 'rare'] ELSE ARRAY['usual', 'w' || n] END),
           CASE WHEN n % 1000 = 0 THEN ARRAY['seldom'] ELSE ARRAY['lot'] END, '' FROM generate_series(1, 20000) AS n;
INSERT INTO product_stock (id, on_hand, allocated, version, edited_version)
    SELECT id, 5, CASE WHEN status = 0 THEN 5 ELSE 0 END, 1, 1 FROM products;
INSERT INTO reservations (id, owner, state, lines, created_at, updated_at, expires_at)
    SELECT gen_random_uuid(), CASE WHEN n % 20 = 0 THEN 'carts' ELSE 'orders' END,
           CASE WHEN n % 5 = 0 THEN 0 WHEN n % 3 = 0 THEN 2 ELSE 1 END, '[]', n, n, CASE WHEN n % 20 = 0 THEN n END
    FROM generate_series(1, 20000) AS n;
INSERT INTO product_adjustments SELECT id, gen_random_uuid(), '' FROM products;
INSERT INTO product_records SELECT 'k' || n, n, '' FROM generate_series(1, 20000) AS n;
ANALYZE;
";

/// A store of one connection, so that what is set for a session is set for all.
async fn filled() -> (TestDatabase, PgProductStore) {
    let database = TestDatabase::create().await;
    let config = PgConfig { connections: 1, ..PgConfig::default() };
    let store = PgProductStore::connect_with(&database.url(), config).await.expect("connect");
    sqlx::Executor::execute(&mut database.connect().await, sqlx::raw_sql(FILL)).await.expect("fill");
    (database, store)
}

async fn plan(store: &PgProductStore, query: Query) -> String {
    let steps = store.db.read("explain", query).await.expect("explain");
    steps.iter().map(|step| format!("{}\n", step.get::<String, _>(0))).collect()
}

const EXPLAIN: &str = "EXPLAIN (COSTS OFF) ";

async fn page_plan(store: &PgProductStore, query: &ProductQuery, after: Option<ProductKey>) -> String {
    let page = PageRequest { limit: Limit::default(), after };
    let matches = store.matches(query).await.expect("a count");
    plan(store, list::products_as(EXPLAIN, query, matches, &page)).await
}

#[tokio::test]
async fn a_page_of_products_is_a_walk_along_the_index_of_its_order() {
    use ProductSortField::{CreatedAt, Name, Price, Sku, UpdatedAt};
    let (_database, store) = filled().await;
    let number = SortValue::Number(2_500);
    let orders = [
        (CreatedAt, "products_created", number.clone()),
        (Name, "products_name", SortValue::Text("name 3".to_owned())),
        (Sku, "products_live_sku_key", SortValue::Text("s3".to_owned())),
        (Price, "products_price", number.clone()),
        (UpdatedAt, "products_updated", number),
    ];
    let all = ProductQuery::default();
    let text = |text: &str| Some(text.to_owned());
    let common = [
        all.clone(),
        ProductQuery { text: text("usual"), ..all.clone() },
        ProductQuery { text: text("usu"), tag: text("lot"), ..all.clone() },
        ProductQuery { status: Some(ProductStatus::Active), in_stock: Some(true), ..all.clone() },
    ];
    for (field, index, value) in orders {
        for descending in [false, true] {
            let sort = ProductSort { field, descending };
            let key = ProductKey { sort, value: value.clone(), id: ProductId::generate() };
            for (query, after) in common.iter().flat_map(|query| [(query, None), (query, Some(key.clone()))])
            {
                let query = ProductQuery { sort, ..query.clone() };
                let from_a_key = after.is_some();
                let plan = page_plan(&store, &query, after).await;
                assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{query:?}: {plan}");
                assert!(plan.contains(index), "{query:?}: {plan}");
                let entered = plan.contains(if field == Sku { "(live_sku " } else { "(ROW(" });
                assert!(!from_a_key || entered, "{query:?}: {plan}");
            }
        }
    }
    let dear =
        ProductQuery { price_min: Some(3_500), sort: ProductSort { field: Price, descending: false }, ..all };
    let plan = page_plan(&store, &dear, None).await;
    assert!(plan.contains("Index Cond: (price >= '3500'::bigint)") && !plan.contains("Sort"), "{plan}");
}

#[tokio::test]
async fn what_few_products_have_is_found_by_its_index() {
    let (_database, store) = filled().await;
    let all = ProductQuery::default();
    let text = |text: &str| Some(text.to_owned());
    for (query, index) in [
        (ProductQuery { text: text("usual rare"), ..all.clone() }, "products_found"),
        (ProductQuery { text: text("w777"), ..all.clone() }, "products_found"),
        (ProductQuery { tag: text("seldom"), ..all.clone() }, "products_found"),
        (ProductQuery { text: text("usual"), tag: text("seldom"), ..all.clone() }, "products_found"),
        (ProductQuery { status: Some(ProductStatus::Draft), ..all.clone() }, "products_status"),
        (ProductQuery { in_stock: Some(false), ..all.clone() }, "product_stock_sold_out"),
        (ProductQuery { sku: Some("s77".parse().expect("a SKU")), ..all.clone() }, "products_live_sku_key"),
        (ProductQuery { price_min: Some(9), price_max: Some(11), ..all }, "products_price"),
    ] {
        let found = page_plan(&store, &query, None).await;
        assert!(found.contains(index) && !found.contains("Seq Scan"), "{query:?}: {found}");
    }
}

#[tokio::test]
async fn a_cursor_that_was_tampered_with_is_no_fault_of_the_store() {
    use ProductSortField::{CreatedAt, Name, Price, Sku, UpdatedAt};
    let database = TestDatabase::create().await;
    let store = PgProductStore::connect(&database.url()).await.expect("connect");
    for field in [CreatedAt, Name, Price, Sku, UpdatedAt] {
        for value in [SortValue::Number(1), SortValue::Text("a\0b".to_owned())] {
            let sort = ProductSort { field, descending: false };
            let key = ProductKey { sort, value, id: ProductId::generate() };
            let page = PageRequest { limit: Limit::default(), after: Some(key) };
            let found = store.products(&ProductQuery { sort, ..ProductQuery::default() }, &page).await;
            assert!(found.expect("a page").is_empty());
        }
    }
    let nul = Some("\0".to_owned());
    let tagged = ProductQuery { tag: nul.clone(), ..ProductQuery::default() };
    assert!(store.products(&tagged, &PageRequest::default()).await.expect("a page").is_empty());
    let owned = ReservationQuery { owner: nul, ..ReservationQuery::default() };
    assert!(store.reservations(&owned, &PageRequest::default()).await.expect("a page").is_empty());
}

#[tokio::test]
async fn reservations_are_listed_by_an_index() {
    let (_database, store) = filled().await;
    let all = ReservationQuery::default();
    let state = |state| ReservationQuery { state: Some(state), ..all.clone() };
    let held = state(ReservationState::Held);
    let of = |owner: &str, query: &ReservationQuery| ReservationQuery {
        owner: Some(owner.to_owned()),
        created_before: Some(Timestamp::from_millis(19_000)),
        ..query.clone()
    };
    for (query, index) in [
        (all.clone(), "reservations_created"),
        (held.clone(), "reservations_state"),
        (state(ReservationState::Released), "reservations_"),
        (of("orders", &held), "reservations_state"),
        (of("carts", &all), "reservations_owner"),
    ] {
        for after in [None, Some(HeldKey(Timestamp::from_millis(100), ReservationId::generate()))] {
            let from_a_key = after.is_some();
            let page = PageRequest { limit: Limit::default(), after };
            let plan = plan(&store, list::reservations_as(EXPLAIN, &query, &page)).await;
            assert!(plan.contains(index) && !plan.contains("Sort"), "{query:?}: {plan}");
            assert!(!from_a_key || plan.contains("(ROW(created_at, id) > ROW("), "{query:?}: {plan}");
        }
    }
}

/// As the server plans it once for all values, and as it plans it for these.
#[tokio::test]
async fn a_load_finds_all_its_parts_by_an_index() {
    let (_database, store) = filled().await;
    let footprint = Footprint {
        products: (0..64).map(|_| ProductId::generate()).collect(),
        skus: (0..64).map(|n| format!("s{n}").parse().expect("a SKU")).collect(),
        reservations: (0..64).map(|_| ReservationId::generate()).collect(),
        keys: (0..64).map(|n| format!("k{n}").parse().expect("a key")).collect(),
        expired: 32,
    };
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let set = Query::new(format!("SET plan_cache_mode = {mode}"));
        store.db.execute("choose how to plan", set).await.expect("set");
        let plan = plan(&store, load::explained(&footprint)).await;
        assert!(!plan.contains("Seq Scan"), "{mode}: {plan}");
        for index in [
            "products_pkey",
            "products_live_sku_key",
            "product_stock_pkey",
            "reservations_pkey",
            "reservations_expiring",
            "product_records_pkey",
        ] {
            assert!(plan.contains(index), "{mode}, {index}: {plan}");
        }
    }
}

#[tokio::test]
async fn words_longer_than_a_lexeme_are_found_whole_and_by_their_beginnings() {
    let database = TestDatabase::create().await;
    let store = PgProductStore::connect(&database.url()).await.expect("connect");
    let (shared, ends) = ("ä".repeat(3_000), ["one", "two"]);
    let mut ids = Vec::new();
    for end in ends {
        let at = Timestamp::from_millis(1);
        let details = crate::ProductDetails {
            sku: end.parse().expect("a SKU"),
            name: end.to_owned(),
            description: format!("{shared}{end} last"),
            price: shop_core::Money::from_minor(1, shop_core::Currency::EUR),
            attributes: Default::default(),
            tags: Vec::new(),
            status: ProductStatus::Active,
        };
        let product = Product {
            id: ProductId::generate(),
            details,
            stock: crate::Stock { on_hand: 1, allocated: 0 },
            version: 1,
            edited_version: 1,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        ids.push(product.id);
        store.commit(&ChangeSet { created: vec![product], ..ChangeSet::default() }).await.expect("commit");
    }
    for (text, expected) in [
        (shared.clone(), vec![ids[0], ids[1]]),
        (format!("{shared}o"), vec![ids[0]]),
        (format!("{shared}two last"), vec![ids[1]]),
        (format!("{shared} last"), vec![]),
        (format!("{shared}x"), vec![]),
    ] {
        let query = ProductQuery { text: Some(text), ..ProductQuery::default() };
        let found = store.products(&query, &PageRequest::default()).await.expect("list");
        let mut found: Vec<_> = found.iter().map(|product| product.id).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
