use std::task::{Context, Poll, Waker};

use serde_json::json;
use shop_core::idempotency::{Fingerprint, IdempotencyRecord, StoredAnswer};
use shop_core::{Currency, Money, PageRequest, StoreErrorKind, Timestamp};

use crate::store::{ChangeSet, Footprint, ProductEdit, ReservationWrite, Snapshot, StockChange};
use crate::testing::ProductStoreFactory;
use crate::testing::fixtures::{by_id, created, load, product};
use crate::{
    Adjustment, AdjustmentId, Product, ProductId, ProductStatus, Reservation, ReservationId,
    ReservationState, ReservedLine, Stock,
};

pub(super) const AT: i64 = 1_700_000_000_000;

pub(super) fn reservation(of: &Product, quantity: i64, at: i64) -> Reservation {
    let at = Timestamp::from_millis(at);
    let line = ReservedLine {
        product_id: of.id,
        sku: of.details.sku.clone(),
        name: of.details.name.clone(),
        quantity,
        held: quantity,
        unit_price: of.details.price,
    };
    Reservation {
        id: ReservationId::generate(),
        owner: Some("orders".to_owned()),
        state: ReservationState::Held,
        lines: vec![line],
        created_at: at,
        updated_at: at,
        expires_at: None,
    }
}

pub(super) fn adjustment(of: ProductId, on_hand: i64) -> Adjustment {
    Adjustment {
        id: AdjustmentId::generate(),
        product_id: of,
        delta: 1,
        reason: "count \"n\" \u{1F600}".to_owned(),
        reference: Some("R-1".to_owned()),
        on_hand,
        created_at: Timestamp::from_millis(AT),
    }
}

pub(super) fn record(key: &str, at: i64) -> IdempotencyRecord {
    IdempotencyRecord {
        key: key.parse().unwrap(),
        fingerprint: Fingerprint::of_request("POST", "/", key.as_bytes()),
        answer: StoredAnswer {
            status: 201,
            location: Some("/v1/products/1".to_owned()),
            etag: None,
            body: "{\"a\":\"ü\\n\"}".to_owned(),
        },
        at: Timestamp::from_millis(at),
    }
}

pub(super) fn moves(of: &Product, on_hand: i64, allocated: i64) -> StockChange {
    StockChange { product_id: of.id, on_hand, allocated, versions: 1, expected_edited_version: None }
}

pub(super) fn write(reservation: &Reservation, before: Option<&Reservation>) -> ReservationWrite {
    let expected = before.map(|before| (before.state, before.updated_at));
    let keeps_lines = before.is_some_and(|before| before.lines == reservation.lines);
    ReservationWrite { reservation: reservation.clone(), expected, keeps_lines }
}

/// Whatever a row holds, it comes back as it was written.
pub async fn every_row_comes_back_as_it_was_written<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let mut full = product("ÄÖ-1 'x' \"y\" %_", 7, AT);
    full.details.name = "Crème brûlée \\ 日本 \u{1F600}".to_owned();
    full.details.description = "two\nlines\tand 'quotes'".to_owned();
    full.details.price = Money::from_minor(12_345, Currency::JPY);
    full.details.attributes = [
        ("colour".to_owned(), json!({"rgb": [1, 2.5, null], "n": "\u{0}"})),
        (String::from("a/b"), json!("x")),
    ]
    .into();
    full.details.tags = vec!["neu".to_owned(), "größe L".to_owned()];
    full.details.status = ProductStatus::Archived;
    full.stock = Stock { on_hand: 1_000_000_000_000, allocated: 3 };
    (full.version, full.edited_version) = (9, 4);
    full.updated_at = Timestamp::from_millis(AT + 1);
    let mut deleted = product("gone", 1, AT);
    deleted.deleted_at = Some(Timestamp::from_millis(AT + 2));
    let mut held = reservation(&full, 3, AT);
    held.expires_at = Some(Timestamp::from_millis(i64::MAX));
    let ownerless = Reservation {
        owner: None,
        lines: vec![],
        state: ReservationState::Released,
        ..reservation(&full, 1, AT)
    };
    let (adjusted, kept) = (adjustment(full.id, 7), record("key-1", AT));
    let changes = ChangeSet {
        created: vec![full.clone(), deleted.clone()],
        reservations: vec![write(&held, None), write(&ownerless, None)],
        adjustments: vec![adjusted.clone()],
        records: vec![kept.clone()],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    let footprint = Footprint {
        products: [full.id, deleted.id].into(),
        reservations: [held.id, ownerless.id].into(),
        keys: [kept.key.clone()].into(),
        ..Footprint::default()
    };
    let found = load(&*store, footprint).await;
    assert_eq!(found.products, [(full.id, full.clone()), (deleted.id, deleted.clone())].into());
    assert_eq!(found.reservations, [(held.id, held.clone()), (ownerless.id, ownerless)].into());
    assert_eq!(found.records, [(kept.key.clone(), kept)].into());
    assert_eq!(store.adjustments(full.id, &PageRequest::default()).await.unwrap(), [adjusted]);
    // And again after an edit of everything.
    let mut edited = full.clone();
    edited.details = product("other", 0, AT).details;
    edited.stock = Stock { on_hand: 5, allocated: 5 };
    (edited.version, edited.edited_version) = (10, 10);
    let mut committed = held.clone();
    committed.state = ReservationState::Committed;
    committed.lines[0].quantity = 1;
    committed.updated_at = Timestamp::from_millis(AT + 5);
    let changes = ChangeSet {
        edited: vec![ProductEdit { product: edited.clone(), expected_version: 9 }],
        reservations: vec![write(&committed, Some(&held))],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    let footprint = Footprint { reservations: [held.id].into(), ..Footprint::default() };
    let found = load(&*store, footprint).await;
    assert_eq!(found.products, [(full.id, edited)].into(), "a reservation brings its products");
    assert_eq!(found.reservations, [(held.id, committed.clone())].into());
    // And again with the lines that it has.
    let mut ended = committed.clone();
    (ended.state, ended.updated_at) = (ReservationState::Released, Timestamp::from_millis(AT + 6));
    let ending = ChangeSet { reservations: vec![write(&ended, Some(&committed))], ..ChangeSet::default() };
    store.commit(&ending).await.unwrap();
    let footprint = Footprint { reservations: [held.id].into(), ..Footprint::default() };
    assert_eq!(load(&*store, footprint).await.reservations, [(held.id, ended)].into());
}

/// Every expectation that does not hold fails the whole change set as a conflict, and nothing of it is written.
pub async fn a_broken_expectation_writes_nothing<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let mut there = product("there", 5, AT);
    there.stock.allocated = 2;
    (there.version, there.edited_version) = (4, 3);
    let (held, adjusted, kept) = (reservation(&there, 2, AT), adjustment(there.id, 5), record("kept", AT));
    let setup = ChangeSet {
        created: vec![there.clone()],
        reservations: vec![write(&held, None)],
        adjustments: vec![adjusted.clone()],
        records: vec![kept.clone()],
        ..ChangeSet::default()
    };
    store.commit(&setup).await.unwrap();
    let absent = product("absent", 5, AT);
    let same_id = Product { id: there.id, ..product("same-id", 1, AT) };
    let edit = |product: &Product, expected_version: u64| {
        let mut product = product.clone();
        product.details.name = "edited".to_owned();
        (product.version, product.edited_version) = (5, 5);
        ChangeSet { edited: vec![ProductEdit { product, expected_version }], ..ChangeSet::default() }
    };
    let stock = |change: StockChange| ChangeSet { stock: vec![change], ..ChangeSet::default() };
    let mut unsound = absent.clone();
    unsound.stock = Stock { on_hand: 1, allocated: 2 };
    let mut released = held.clone();
    released.state = ReservationState::Released;
    released.updated_at = Timestamp::from_millis(AT + 1);
    let reserve = |write: ReservationWrite| ChangeSet { reservations: vec![write], ..ChangeSet::default() };
    let wrong_time = ReservationWrite {
        expected: Some((ReservationState::Held, Timestamp::from_millis(AT + 9))),
        ..write(&released, None)
    };
    let wrong_state = ReservationWrite {
        expected: Some((ReservationState::Committed, held.updated_at)),
        ..write(&released, None)
    };
    let stale = StockChange { expected_edited_version: Some(2), ..moves(&there, 0, 1) };
    let faults = [
        ("a new product's id is taken", ChangeSet { created: vec![same_id], ..ChangeSet::default() }),
        (
            "a new product's SKU is taken",
            ChangeSet { created: vec![product("there", 1, AT)], ..ChangeSet::default() },
        ),
        ("a new product's stock is not sound", ChangeSet { created: vec![unsound], ..ChangeSet::default() }),
        ("an edit expects an older version", edit(&there, 3)),
        ("an edit expects a newer version", edit(&there, 5)),
        ("an edited product is not there", edit(&absent, 1)),
        ("allocated would be over on_hand", stock(moves(&there, 0, 4))),
        ("allocated would be negative", stock(moves(&there, 0, -3))),
        ("on_hand would be below allocated", stock(moves(&there, -4, 0))),
        ("stock expects other details", stock(stale)),
        ("stock of a product that is not there", stock(moves(&absent, 1, 0))),
        ("a new reservation is there already", reserve(write(&held, None))),
        ("a reservation is in another state", reserve(wrong_state)),
        ("a reservation has changed since", reserve(wrong_time)),
        ("a changed reservation is not there", reserve(write(&reservation(&there, 1, AT), Some(&held)))),
        (
            "an adjustment is there already",
            ChangeSet { adjustments: vec![adjusted.clone()], ..ChangeSet::default() },
        ),
        ("a key is there already", ChangeSet { records: vec![kept.clone()], ..ChangeSet::default() }),
    ];
    for (what, mut changes) in faults {
        // Each with sound company, which must not be written either.
        let company = product("company", 1, AT);
        let (other, other_record) = (reservation(&there, 1, AT), record("company", AT));
        changes.created.push(company.clone());
        changes.reservations.push(write(&other, None));
        changes.records.push(other_record.clone());
        let error = store.commit(&changes).await.expect_err(what);
        assert_eq!(error.kind(), StoreErrorKind::Conflict, "{what}: {}", error.chain());
        let footprint = Footprint {
            products: [there.id, company.id, absent.id].into(),
            skus: [company.details.sku.clone()].into(),
            reservations: [held.id, other.id].into(),
            keys: [kept.key.clone(), other_record.key].into(),
            expired: 0,
        };
        let found = load(&*store, footprint).await;
        let before = Snapshot {
            now: found.now,
            products: [(there.id, there.clone())].into(),
            reservations: [(held.id, held.clone())].into(),
            records: [(kept.key.clone(), kept.clone())].into(),
        };
        assert_eq!(found, before, "{what}: something was written");
        assert_eq!(
            store.adjustments(there.id, &PageRequest::default()).await.unwrap(),
            std::slice::from_ref(&adjusted),
            "{what}"
        );
    }
}

/// Changes of stock are differences: they add up, and leave the rest of the product alone.
pub async fn changes_of_stock_add_up<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let (one, two) = (product("one", 10, AT), product("two", 10, AT));
    created(&*store, &[one.clone(), two.clone()]).await;
    for _ in 0..3 {
        let change = StockChange { versions: 2, expected_edited_version: Some(1), ..moves(&one, 1, 3) };
        let changes = ChangeSet { stock: vec![change, moves(&two, -1, 0)], ..ChangeSet::default() };
        store.commit(&changes).await.unwrap();
    }
    let found = by_id(&*store, one.id).await.unwrap();
    let expected = Product { stock: Stock { on_hand: 13, allocated: 9 }, version: 7, ..one };
    assert_eq!(found, expected);
    assert_eq!(by_id(&*store, two.id).await.unwrap().stock, Stock { on_hand: 7, allocated: 0 });
}

/// A SKU is unique among products that are not deleted, and free again when its product is deleted or gets another.
pub async fn skus_are_unique_among_live_products<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let (first, second) = (product("a", 1, AT), product("b", 1, AT));
    created(&*store, &[first.clone(), second.clone()]).await;
    let edit = |product: &Product, change: &dyn Fn(&mut Product)| {
        let mut edited = product.clone();
        change(&mut edited);
        (edited.version, edited.edited_version) = (2, 2);
        ChangeSet {
            edited: vec![ProductEdit { product: edited, expected_version: 1 }],
            ..ChangeSet::default()
        }
    };
    let taken = edit(&second, &|product| product.details.sku = "a".parse().unwrap());
    assert_eq!(store.commit(&taken).await.expect_err("the SKU is taken").kind(), StoreErrorKind::Conflict);
    let twins = ChangeSet { created: vec![product("c", 1, AT), product("c", 1, AT)], ..ChangeSet::default() };
    assert_eq!(store.commit(&twins).await.expect_err("two of one SKU").kind(), StoreErrorKind::Conflict);
    let delete = edit(&first, &|product| product.deleted_at = Some(Timestamp::from_millis(AT)));
    store.commit(&delete).await.unwrap();
    let heir = product("a", 4, AT);
    created(&*store, std::slice::from_ref(&heir)).await;
    let found =
        load(&*store, Footprint { skus: ["a".parse().unwrap()].into(), ..Footprint::default() }).await;
    assert_eq!(found.products, [(heir.id, heir)].into(), "by SKU only the product that is not deleted");
    assert!(by_id(&*store, first.id).await.unwrap().deleted_at.is_some(), "by id the deleted one too");
}

/// One commit may move SKUs among its products: what it frees is free for what it gives.
pub async fn skus_may_be_swapped_in_one_commit<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let (a, b, c) = (product("a", 1, AT), product("b", 1, AT), product("c", 1, AT));
    created(&*store, &[a.clone(), b.clone(), c.clone()]).await;
    let edited = |product: &Product, sku: &str, deleted: bool| {
        let mut product = product.clone();
        product.details.sku = sku.parse().unwrap();
        product.deleted_at = deleted.then_some(Timestamp::from_millis(AT));
        (product.version, product.edited_version) = (2, 2);
        ProductEdit { product, expected_version: 1 }
    };
    let new = product("c", 1, AT);
    let changes = ChangeSet {
        created: vec![new.clone()],
        edited: vec![edited(&a, "b", false), edited(&b, "a", false), edited(&c, "c", true)],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    for (sku, id) in [("a", b.id), ("b", a.id), ("c", new.id)] {
        let found =
            load(&*store, Footprint { skus: [sku.parse().unwrap()].into(), ..Footprint::default() }).await;
        assert_eq!(found.products.into_keys().collect::<Vec<_>>(), [id], "{sku}");
    }
}

/// After `Ok` every later load of any instance sees the change set.
pub async fn what_was_committed_is_seen_by_every_instance<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let other = factory.reopen(&guard).await;
    let one = product("one", 100, AT);
    created(&*store, std::slice::from_ref(&one)).await;
    for n in 1..=20 {
        let (writer, reader) = if n % 2 == 0 { (&store, &other) } else { (&other, &store) };
        writer.commit(&ChangeSet { stock: vec![moves(&one, 0, 1)], ..ChangeSet::default() }).await.unwrap();
        for reader in [reader, writer] {
            assert_eq!(by_id(&**reader, one.id).await.unwrap().stock.allocated, n);
            let listed = reader.products(&Default::default(), &PageRequest::default()).await.unwrap();
            assert_eq!(listed[0].stock.allocated, n, "lists too");
        }
    }
}

/// What was committed is there when the store is opened anew.
pub async fn what_was_committed_survives_reopening<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let one = product("one", 5, AT);
    let (held, kept) = (reservation(&one, 1, AT), record("kept", AT));
    let changes = ChangeSet {
        created: vec![one.clone()],
        reservations: vec![write(&held, None)],
        records: vec![kept.clone()],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    drop(store);
    let store = factory.reopen(&guard).await;
    store.ping().await.unwrap();
    let footprint =
        Footprint { reservations: [held.id].into(), keys: [kept.key.clone()].into(), ..Footprint::default() };
    let found = load(&*store, footprint).await;
    assert_eq!(found.products, [(one.id, one)].into());
    assert_eq!(found.reservations, [(held.id, held)].into());
    assert_eq!(found.records, [(kept.key.clone(), kept)].into());
}

/// A commit whose caller goes away is written whole or not at all, and leaves the store usable.
pub async fn a_dropped_commit_is_whole_or_nothing<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let one = product("one", 1_000, AT);
    created(&*store, std::slice::from_ref(&one)).await;
    let mut dropped = Vec::new();
    for polls in 0..40_usize {
        let held = reservation(&one, 1, AT);
        let changes = ChangeSet {
            created: vec![product(&format!("new-{polls}"), 1, AT)],
            stock: vec![moves(&one, 0, 1)],
            reservations: vec![write(&held, None)],
            records: vec![record(&format!("key-{polls}"), AT)],
            ..ChangeSet::default()
        };
        let mut commit = store.commit(&changes);
        for _ in 0..=polls % 8 {
            if matches!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_)) {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        dropped.push((held.id, changes));
    }
    // A write after them: what a store still does in the background is done before it.
    store.commit(&ChangeSet { stock: vec![moves(&one, 1, 0)], ..ChangeSet::default() }).await.unwrap();
    let mut done = 0;
    for (id, changes) in &dropped {
        let footprint = Footprint {
            products: changes.created.iter().map(|product| product.id).collect(),
            reservations: [*id].into(),
            keys: changes.records.iter().map(|record| record.key.clone()).collect(),
            ..Footprint::default()
        };
        let found = load(&*store, footprint).await;
        let parts = [
            found.reservations.contains_key(id),
            changes.created.iter().all(|product| found.products.contains_key(&product.id)),
            !found.records.is_empty(),
        ];
        assert!(parts == [true; 3] || parts == [false; 3], "half a commit: {parts:?}");
        done += i64::from(parts[0]);
    }
    let stock = by_id(&*store, one.id).await.unwrap().stock;
    assert_eq!(stock, Stock { on_hand: 1_001, allocated: done }, "the stock of what was committed");
}
