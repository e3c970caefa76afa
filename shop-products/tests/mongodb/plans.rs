//! What the server says it does for each list and filter.

use shop_core::{Limit, PageRequest, Timestamp};
use shop_products::store::{ProductKey, ProductQuery, ProductSort, ProductSortField, ReservationQuery};
use shop_products::testing::new_product;
use shop_products::{HoldRequest, NewAdjustment, ProductRef, ProductStatus, ReservationState};

use super::*;

const PRODUCTS: usize = 400;

/// The plans of what is asked of a database while `asking`: a summary, whether it sorts, and the keys and documents that
/// were looked at.
async fn plans(database: &Database, asking: impl AsyncFnOnce()) -> Vec<Document> {
    let db = Client::with_uri_str(&database.url).await.unwrap().database(&database.name);
    db.run_command(doc! { "profile": 2 }).await.unwrap();
    asking().await;
    db.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = db.collection::<Document>("system.profile");
    let mut entries = profile.find(doc! { "planSummary": { "$exists": true } }).await.unwrap();
    let mut found = Vec::new();
    while entries.advance().await.unwrap() {
        let entry = entries.deserialize_current().unwrap();
        // The end of the service's own look at the changes.
        if !entry.to_string().contains("$changeStream") {
            found.push(entry);
        }
    }
    profile.drop().await.unwrap();
    found
}

fn summary(plan: &Document) -> &str {
    plan.get_str("planSummary").unwrap()
}

/// It is in the order of an index, and looks at no more than a page of it: of two ranges, where a page begins among those
/// that have the same.
fn assert_is_a_page(plans: &[Document], limit: i32, what: &str) {
    assert!(!plans.is_empty(), "{what}: nothing was asked");
    for plan in plans {
        assert!(summary(plan).starts_with("IXSCAN"), "{what}: {plan}");
        assert!(!plan.get_bool("hasSortStage").unwrap_or(false), "{what}: {plan}");
        assert!(plan.get_i32("docsExamined").unwrap() <= 2 * (limit + 1), "{what}: {plan}");
    }
}

fn assert_uses_an_index(plans: &[Document], what: &str) {
    assert!(!plans.is_empty(), "{what}: nothing was asked");
    for plan in plans {
        assert!(
            ["IXSCAN", "COUNT_SCAN", "IDHACK"].iter().any(|it| summary(plan).starts_with(it)),
            "{what}: {plan}"
        );
    }
}

fn sorted(field: ProductSortField, descending: bool) -> ProductQuery {
    ProductQuery { sort: ProductSort { field, descending }, ..ProductQuery::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_is_a_range_of_an_index() {
    let database = Database::fresh();
    let store = database.open(Duration::from_secs(5)).await;
    let service = ProductService::start(Arc::new(store.clone()), Arc::new(SystemClock), Default::default());
    for n in 0..PRODUCTS {
        let mut new = new_product(&format!("sku-{n:04}"), 10);
        new.details.tags = vec![format!("tag{}", n % 40)];
        service.create(new, None).await.unwrap();
    }
    // No upkeep beside what is asked here.
    drop(service);
    let first = PageRequest { limit: Limit::new(20).unwrap(), after: None };
    for field in [
        ProductSortField::CreatedAt,
        ProductSortField::Name,
        ProductSortField::Sku,
        ProductSortField::Price,
        ProductSortField::UpdatedAt,
    ] {
        for descending in [false, true] {
            let query = sorted(field, descending);
            let what = format!("{query:?}");
            let asked = plans(&database, async || drop(store.products(&query, &first).await.unwrap())).await;
            assert_is_a_page(&asked, 20, &what);
            let most = PageRequest { limit: Limit::new(300).unwrap(), after: None };
            let all = store.products(&query, &most).await.unwrap();
            let after = Some(ProductKey::of(all.last().unwrap(), query.sort));
            let last = PageRequest { limit: first.limit, after };
            let asked = plans(&database, async || drop(store.products(&query, &last).await.unwrap())).await;
            assert_is_a_page(&asked, 20, &format!("a late page of {what}"));
        }
    }
    let of = ProductQuery::default;
    let filters = [
        ProductQuery { text: Some("sku 0123".into()), ..of() },
        ProductQuery { sku: Some("sku-0123".parse().unwrap()), ..of() },
        ProductQuery { tag: Some("tag7".into()), ..of() },
        ProductQuery { status: Some(ProductStatus::Draft), ..of() },
        ProductQuery { price_min: Some(1), price_max: Some(2), ..of() },
    ];
    for query in filters {
        let what = format!("{query:?}");
        let asked = plans(&database, async || drop(store.products(&query, &first).await.unwrap())).await;
        assert_uses_an_index(&asked, &what);
        let looked_at: i32 = asked.iter().map(|plan| plan.get_i32("docsExamined").unwrap()).sum();
        assert!(looked_at <= 20, "{what}: {looked_at} of {PRODUCTS} documents");
        let asked = plans(&database, async || {
            store.count_products(&query).await.unwrap();
        })
        .await;
        assert_uses_an_index(&asked, &what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_adjustments_and_upkeep_use_an_index() {
    let database = Database::fresh();
    let store = database.open(Duration::from_secs(5)).await;
    let service = ProductService::start(Arc::new(store.clone()), Arc::new(SystemClock), Default::default());
    let id = service.create(new_product("one", 1_000), None).await.unwrap().fresh().unwrap().id;
    for _ in 0..100 {
        let held = HoldRequest { owner: Some("others".into()), ..request(vec![line(id, 1)]) };
        service.hold(&held).await.unwrap();
        let adjustment = NewAdjustment { delta: 1, reason: "count".into(), reference: None };
        service.adjust(&ProductRef::Id(id), adjustment, None).await.unwrap();
    }
    drop(service);
    let first = PageRequest { limit: Limit::new(20).unwrap(), after: None };
    let of = ReservationQuery::default;
    let now = Some(Timestamp::from_millis(i64::MAX >> 20));
    let queries = [
        of(),
        ReservationQuery { state: Some(ReservationState::Held), ..of() },
        ReservationQuery { state: Some(ReservationState::Held), owner: None, created_before: now },
    ];
    for query in queries {
        let what = format!("{query:?}");
        let asked = plans(&database, async || drop(store.reservations(&query, &first).await.unwrap())).await;
        assert_is_a_page(&asked, 20, &what);
    }
    let recovery = ReservationQuery {
        state: Some(ReservationState::Held),
        owner: Some("orders".into()),
        created_before: now,
    };
    let asked = plans(&database, async || drop(store.reservations(&recovery, &first).await.unwrap())).await;
    assert_is_a_page(&asked, -1, "held by an owner who holds nothing");
    let page = PageRequest { limit: Limit::new(20).unwrap(), after: None };
    let asked = plans(&database, async || drop(store.adjustments(id, &page).await.unwrap())).await;
    assert_is_a_page(&asked, 20, "adjustments");
    let asked = plans(&database, async || {
        store.load(&Footprint { expired: 10, ..Footprint::default() }).await.unwrap();
        store.purge(Timestamp::from_millis(1_000), 10).await.unwrap();
    })
    .await;
    assert_uses_an_index(&asked, "upkeep");
    for plan in asked.iter().filter(|plan| plan.get_str("ns").unwrap().ends_with("reservations")) {
        assert!(plan.get_i32("keysExamined").unwrap() <= 3, "nothing expires and nothing has ended: {plan}");
    }
}
