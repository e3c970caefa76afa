use std::collections::{BTreeSet, HashSet};

use shop_core::{Currency, Limit, Money, PageRequest, Timestamp};

use super::commits::{AT, adjustment, reservation, write};
use crate::store::memory::MemoryProductStore;
use crate::store::{
    ChangeSet, ProductEdit, ProductKey, ProductQuery, ProductSort, ProductSortField, ReservationQuery,
};
use crate::testing::ProductStoreFactory;
use crate::testing::fixtures::{created, product};
use crate::{
    AdjustmentId, HeldKey, Product, ProductId, ProductStatus, ProductStore, Reservation, ReservationState,
    Stock,
};

const SORTS: [ProductSortField; 5] = [
    ProductSortField::CreatedAt,
    ProductSortField::Name,
    ProductSortField::Sku,
    ProductSortField::Price,
    ProductSortField::UpdatedAt,
];

fn orders() -> impl Iterator<Item = ProductSort> {
    SORTS.into_iter().flat_map(|field| [false, true].map(|descending| ProductSort { field, descending }))
}

/// Products with ties in every order but that of the SKU.
fn varied(n: usize) -> Vec<Product> {
    let currencies = [Currency::EUR, Currency::JPY, Currency::KWD];
    (0..n)
        .map(|n| {
            let mut made = product(&format!("SKU-{:03}", (n * 7) % 100), (n % 3) as i64, AT + (n as i64 % 5));
            made.details.name = ["Zebra", "apple", "Äpfel", "Apple", "日本"][n % 5].to_owned();
            made.details.price = Money::from_minor((n as i64 % 4) * 1_000, currencies[n % 3]);
            made.updated_at = Timestamp::from_millis(AT + (n as i64 % 7));
            made
        })
        .collect()
}

/// Where a product stands in an order, by the domain's own key.
fn sort(products: &mut [Product], sort: ProductSort) {
    products.sort_by(|a, b| {
        let (a, b) = (ProductKey::of(a, sort), ProductKey::of(b, sort));
        let order = (a.value, a.id).cmp(&(b.value, b.id));
        if sort.descending { order.reverse() } else { order }
    });
}

async fn page(
    store: &dyn ProductStore,
    query: &ProductQuery,
    limit: u16,
    after: Option<ProductKey>,
) -> (Vec<Product>, Option<ProductKey>) {
    let limit = Limit::new(limit).unwrap();
    let mut rows = store.products(query, &PageRequest { limit, after }).await.unwrap();
    assert!(rows.len() <= limit.get() + 1, "no more than one row over the page");
    let more = rows.len() > limit.get();
    rows.truncate(limit.get());
    let next = rows.last().filter(|_| more).map(|last| ProductKey::of(last, query.sort));
    (rows, next)
}

async fn all(store: &dyn ProductStore, query: &ProductQuery, limit: u16) -> Vec<Product> {
    let (mut found, mut next) = page(store, query, limit, None).await;
    while let Some(after) = next {
        let (rows, further) = page(store, query, limit, Some(after)).await;
        found.extend(rows);
        next = further;
    }
    found
}

/// In every order and direction, pages of every size show every product that is not deleted once, ties by id.
pub async fn every_order_is_paged_through_once<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let mut products = varied(41);
    let mut deleted = product("deleted", 1, AT);
    deleted.deleted_at = Some(Timestamp::from_millis(AT));
    created(&*store, &products).await;
    created(&*store, &[deleted]).await;
    for order in orders() {
        sort(&mut products, order);
        let query = ProductQuery { sort: order, ..ProductQuery::default() };
        for limit in [1, 4, 40, 41, 500] {
            let found = all(&*store, &query, limit).await;
            let names = |products: &[Product]| {
                products.iter().map(|p| (ProductKey::of(p, order).value, p.id)).collect::<Vec<_>>()
            };
            assert_eq!(names(&found), names(&products), "{order:?} by {limit}");
        }
        assert_eq!(store.count_products(&query).await.unwrap(), 41);
    }
}

/// Rows that are made, changed or deleted between two pages shift no other: none shows twice, none is missed.
pub async fn rows_that_come_while_paging_shift_no_other<F: ProductStoreFactory>(factory: &F) {
    for order in orders() {
        let (_guard, store) = factory.fresh().await;
        let products = varied(30);
        created(&*store, &products).await;
        let query = ProductQuery { sort: order, ..ProductQuery::default() };
        let (mut found, mut next) = page(&*store, &query, 4, None).await;
        let mut round = 0;
        while let Some(after) = next {
            // Before, among and after what was shown.
            let mut new = varied(3);
            for (n, new) in new.iter_mut().enumerate() {
                new.details.sku = format!("{}-new-{round}-{n}", ["0", "SKU-050", "Z"][n]).parse().unwrap();
                new.details.name = ["!", "Apple", "龍"][n].to_owned();
                new.created_at = Timestamp::from_millis(AT + [-9, 2, 99][n]);
                new.updated_at = new.created_at;
                new.details.price = Money::from_minor([0, 2_000, 99_999][n], Currency::EUR);
            }
            created(&*store, &new).await;
            // What was shown first goes, with its place.
            let mut gone = found[round].clone();
            gone.deleted_at = Some(Timestamp::from_millis(AT));
            let version = gone.version;
            (gone.version, gone.edited_version) = (version + 1, version + 1);
            let edit = ProductEdit { product: gone, expected_version: version };
            store.commit(&ChangeSet { edited: vec![edit], ..ChangeSet::default() }).await.unwrap();
            round += 1;
            let (rows, further) = page(&*store, &query, 4, Some(after)).await;
            found.extend(rows);
            next = further;
            assert!(round < 30, "an end is reached although rows are added");
            if products.iter().all(|p| found.iter().any(|f| f.id == p.id)) {
                break;
            }
        }
        let ids: Vec<ProductId> = found.iter().map(|product| product.id).collect();
        let once: HashSet<ProductId> = ids.iter().copied().collect();
        assert_eq!(once.len(), ids.len(), "{order:?}: a row twice");
        assert!(products.iter().all(|product| once.contains(&product.id)), "{order:?}: a row is missing");
    }
}

/// Each filter shows what fits it, together what fits all; the count says the same.
pub async fn filters_narrow_down_together<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let mut products = varied(30);
    for (n, product) in products.iter_mut().enumerate() {
        product.details.tags =
            [vec!["red"], vec!["red", "big"], vec![]][n % 3].iter().map(|t| (*t).to_owned()).collect();
        product.details.status =
            [ProductStatus::Active, ProductStatus::Draft, ProductStatus::Archived][n / 10];
        product.stock = [Stock { on_hand: 2, allocated: 2 }, Stock { on_hand: 2, allocated: 1 }][n % 2];
    }
    created(&*store, &products).await;
    let base = ProductQuery::default;
    let price = |product: &Product| product.details.price.ten_thousandths().unwrap();
    type Fits = Box<dyn Fn(&Product) -> bool + Send>;
    let sku = products[3].details.sku.clone();
    let cases: Vec<(ProductQuery, Fits)> = vec![
        (ProductQuery { sku: Some(sku.clone()), ..base() }, Box::new(move |p| p.details.sku == sku)),
        (ProductQuery { sku: Some("none".parse().unwrap()), ..base() }, Box::new(|_| false)),
        (
            ProductQuery { tag: Some("big".into()), ..base() },
            Box::new(|p| p.details.tags.contains(&"big".to_owned())),
        ),
        (ProductQuery { tag: Some("bi".into()), ..base() }, Box::new(|_| false)),
        (
            ProductQuery { status: Some(ProductStatus::Draft), ..base() },
            Box::new(|p| p.details.status == ProductStatus::Draft),
        ),
        (ProductQuery { price_min: Some(100_000), ..base() }, Box::new(move |p| price(p) >= 100_000)),
        (ProductQuery { price_max: Some(100_000), ..base() }, Box::new(move |p| price(p) <= 100_000)),
        (ProductQuery { in_stock: Some(true), ..base() }, Box::new(|p| p.stock.available() > 0)),
        (ProductQuery { in_stock: Some(false), ..base() }, Box::new(|p| p.stock.available() == 0)),
        (
            ProductQuery {
                text: Some("a".into()),
                tag: Some("red".into()),
                status: Some(ProductStatus::Active),
                price_min: Some(1),
                price_max: Some(30_000_000),
                in_stock: Some(true),
                ..base()
            },
            Box::new(move |p| {
                p.details.name.to_lowercase().starts_with('a')
                    && p.details.tags.contains(&"red".to_owned())
                    && p.details.status == ProductStatus::Active
                    && (1..=30_000_000).contains(&price(p))
                    && p.stock.available() > 0
            }),
        ),
    ];
    for (query, fits) in cases {
        let expected: BTreeSet<ProductId> = products.iter().filter(|p| fits(p)).map(|p| p.id).collect();
        for order in orders() {
            let query = ProductQuery { sort: order, ..query.clone() };
            let found = all(&*store, &query, 3).await;
            assert_eq!(found.len(), expected.len(), "{query:?}");
            assert_eq!(found.iter().map(|p| p.id).collect::<BTreeSet<_>>(), expected, "{query:?}");
        }
        assert_eq!(store.count_products(&query).await.unwrap(), expected.len() as u64, "{query:?}");
    }
}

/// Every word in any case, in name, description, SKU or tag; the last may be a beginning. Edits and deletions are followed.
pub async fn words_are_found<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let mut lamp = product("LAMP-007", 1, AT);
    lamp.details.name = "Blue Desk Lamp".into();
    lamp.details.description = "With a GRÜNER shade; don't drop.".into();
    lamp.details.tags = vec!["home office".into()];
    let mut chair = product("CHAIR", 1, AT);
    chair.details.name = "Desk chair (blue)".into();
    created(&*store, &[lamp.clone(), chair.clone()]).await;
    let find = async |text: &str| {
        let query = ProductQuery { text: Some(text.to_owned()), ..ProductQuery::default() };
        let found: BTreeSet<_> = all(&*store, &query, 1).await.into_iter().map(|p| p.id).collect();
        assert_eq!(store.count_products(&query).await.unwrap(), found.len() as u64);
        found
    };
    let (both, only_lamp, none) =
        (BTreeSet::from([lamp.id, chair.id]), BTreeSet::from([lamp.id]), BTreeSet::new());
    for text in ["desk", "BLUE desk", "bl", "blue-des", "", " ", "!?"] {
        assert_eq!(find(text).await, both, "{text:?}");
    }
    for text in [
        "lamp",
        "lamp-007",
        "007",
        "grüner",
        "GRÜN",
        "office",
        "home lam",
        "don't",
        "desk offi",
        "shade; blue",
    ] {
        assert_eq!(find(text).await, only_lamp, "{text:?}");
    }
    for text in
        ["des blue", "amp", "lamp chair", "esk", "\"", "lamp OR chair", "lamp* ch*", "NOT x", "name:desk"]
    {
        let expected = if text == "\"" { &both } else { &none };
        assert_eq!(&find(text).await, expected, "{text:?}");
    }
    // Among many, words that most have, that few have, and that none has.
    let many: Vec<Product> = (0..1_500)
        .map(|n| {
            let mut made = product(&format!("many-{n}"), 1, AT + 1 + n);
            made.details.name = format!("thing {}", if n % 700 == 699 { "rare" } else { "usual" });
            made
        })
        .collect();
    for part in many.chunks(500) {
        created(&*store, part).await;
    }
    for (text, expected) in
        [("thing usu", 1_498), ("rare th", 2), ("rare us", 0), ("many-14", 111), ("desk", 2)]
    {
        let query = ProductQuery { text: Some(text.to_owned()), ..ProductQuery::default() };
        for limit in [7, 500] {
            let found = all(&*store, &query, limit).await;
            let once: BTreeSet<_> = found.iter().map(|p| p.id).collect();
            assert_eq!((found.len(), once.len()), (expected, expected), "{text:?} by {limit}");
        }
        assert_eq!(store.count_products(&query).await.unwrap(), expected as u64, "{text:?}");
    }
    let mut edited = lamp.clone();
    edited.details.name = "Green light".into();
    edited.details.sku = "LIGHT".parse().unwrap();
    (edited.version, edited.edited_version) = (2, 2);
    let mut deleted = chair.clone();
    deleted.deleted_at = Some(Timestamp::from_millis(AT));
    (deleted.version, deleted.edited_version) = (2, 2);
    let edits = [edited, deleted].map(|product| ProductEdit { product, expected_version: 1 });
    store.commit(&ChangeSet { edited: edits.into(), ..ChangeSet::default() }).await.unwrap();
    for text in ["lamp", "blue", "chair", "desk"] {
        assert_eq!(find(text).await, none, "{text:?}");
    }
    assert_eq!(find("green light shade").await, only_lamp);
}

/// A word and a tag that thousands of products have: in every order and direction, alone and with other filters, the same
/// rows as the memory store shows.
pub async fn what_thousands_match_is_listed_as_what_few_do<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let model = MemoryProductStore::default();
    const COUNT: usize = 2_600;
    let mut many = varied(COUNT);
    for (n, made) in many.iter_mut().enumerate() {
        made.details.sku = format!("SKU-{:04}", (n * 7) % COUNT).parse().unwrap();
        made.details.name = format!("thing {} {}", if n % 700 == 699 { "rare" } else { "usual" }, n % 11);
        made.details.tags = match n {
            _ if n % 13 == 0 => vec![],
            _ if n % 300 == 1 => vec!["lot".into(), "little".into()],
            _ => vec!["lot".into()],
        };
        made.details.status = [ProductStatus::Active, ProductStatus::Draft][n % 2];
    }
    for part in many.chunks(500) {
        created(&*store, part).await;
        created(&model, part).await;
    }
    let base = ProductQuery::default;
    let narrowed = ProductQuery {
        text: Some("usual thi".into()),
        tag: Some("lot".into()),
        status: Some(ProductStatus::Draft),
        price_min: Some(1),
        in_stock: Some(true),
        ..base()
    };
    let queries = [
        (ProductQuery { text: Some("usual thi".into()), ..base() }, 2_597),
        (ProductQuery { tag: Some("lot".into()), ..base() }, 2_400),
        (narrowed, 0),
        (ProductQuery { text: Some("rare".into()), tag: Some("lot".into()), ..base() }, 0),
        (ProductQuery { text: Some("thing".into()), tag: Some("little".into()), ..base() }, 0),
        (ProductQuery { text: Some("thing".into()), sku: Some("SKU-0007".parse().unwrap()), ..base() }, 1),
    ];
    for (query, least) in queries {
        for order in orders() {
            let query = ProductQuery { sort: order, ..query.clone() };
            let (found, expected) = (all(&*store, &query, 500).await, all(&model, &query, 500).await);
            let ids = |products: &[Product]| products.iter().map(|p| p.id).collect::<Vec<_>>();
            assert!(!expected.is_empty() && expected.len() >= least, "{query:?}");
            assert!(ids(&found) == ids(&expected), "{query:?}");
        }
        let expected = model.count_products(&query).await.unwrap();
        assert_eq!(store.count_products(&query).await.unwrap(), expected, "{query:?}");
    }
}

/// Reservations by creation, then id; by state, owner and time; a page at a time.
pub async fn reservations_are_listed_oldest_first<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let one = product("one", 50, AT);
    use ReservationState::{Committed, Fulfilled, Held, Released};
    let states = [Held, Committed, Released, Fulfilled];
    let mut reservations: Vec<Reservation> = (0..24)
        .map(|n| Reservation {
            state: states[n % 4],
            owner: [Some("orders".to_owned()), Some("carts".to_owned()), None][n % 3].clone(),
            ..reservation(&one, 1, AT + (n as i64 * 5) % 7)
        })
        .collect();
    let changes = ChangeSet {
        created: vec![one],
        reservations: reservations.iter().map(|reservation| write(reservation, None)).collect(),
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    reservations.sort_by_key(|reservation| HeldKey(reservation.created_at, reservation.id));
    let owners = [None, Some("orders".to_owned()), Some("nobody".to_owned())];
    let times = [None, Some(Timestamp::from_millis(AT + 3)), Some(Timestamp::from_millis(AT))];
    for state in [None, Some(Held), Some(Committed), Some(Released), Some(Fulfilled)] {
        for (owner, created_before) in owners.iter().flat_map(|owner| times.map(|time| (owner, time))) {
            let query = ReservationQuery { state, owner: owner.clone(), created_before };
            let fits = |r: &&Reservation| {
                state.is_none_or(|state| r.state == state)
                    && owner.as_ref().is_none_or(|owner| r.owner.as_ref() == Some(owner))
                    && created_before.is_none_or(|time| r.created_at < time)
            };
            let expected: Vec<Reservation> = reservations.iter().filter(fits).cloned().collect();
            let limit = Limit::new(2).unwrap();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let mut rows = store.reservations(&query, &PageRequest { limit, after }).await.unwrap();
                assert!(rows.len() <= 3);
                let more = rows.len() > 2;
                rows.truncate(2);
                found.extend(rows);
                if !more {
                    break;
                }
                after = found.last().map(|last: &Reservation| HeldKey(last.created_at, last.id));
            }
            assert_eq!(found, expected, "{query:?}");
        }
    }
}

/// A product's adjustments, newest first, a page at a time.
pub async fn adjustments_are_listed_newest_first<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let (one, two) = (product("one", 50, AT), product("two", 50, AT));
    created(&*store, &[one.clone(), two.clone()]).await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let (mine, other) = (adjustment(one.id, n), adjustment(two.id, n));
        expected.push(mine.clone());
        store.commit(&ChangeSet { adjustments: vec![mine, other], ..ChangeSet::default() }).await.unwrap();
    }
    expected.sort_by_key(|adjustment| std::cmp::Reverse(adjustment.id));
    let limit = Limit::new(3).unwrap();
    let (mut found, mut after): (Vec<_>, Option<AdjustmentId>) = (Vec::new(), None);
    for size in [4, 4, 1] {
        let mut rows = store.adjustments(one.id, &PageRequest { limit, after }).await.unwrap();
        assert_eq!(rows.len(), size);
        rows.truncate(3);
        after = rows.last().map(|last| last.id);
        found.extend(rows);
    }
    assert_eq!(found, expected);
    assert!(store.adjustments(ProductId::generate(), &PageRequest::default()).await.unwrap().is_empty());
}

/// Prices come back exact, in currencies of every scale; an amount that does not fit its currency is no price.
pub async fn prices_are_exact_in_their_currency<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    for refused in ["19.999 EUR", "100.5 JPY", "1.2345 KWD", "92233720368547758.08 EUR"] {
        assert!(refused.parse::<Money>().is_err(), "{refused}");
    }
    let prices = [
        "0 EUR",
        "0.01 EUR",
        "19.99 EUR",
        "19.9 EUR",
        "12345 JPY",
        "1.234 KWD",
        "1.2345 CLF",
        "922337203685.47 EUR",
    ];
    let mut products: Vec<Product> = (0..prices.len()).map(|n| product(&format!("p{n}"), 1, AT)).collect();
    for (product, price) in products.iter_mut().zip(prices) {
        product.details.price = price.parse().unwrap();
    }
    created(&*store, &products).await;
    let query = ProductQuery {
        sort: ProductSort { field: ProductSortField::Price, descending: false },
        ..ProductQuery::default()
    };
    let found = all(&*store, &query, 3).await;
    sort(&mut products, query.sort);
    assert_eq!(found, products);
}
