use std::time::Duration;

use shop_core::{PageRequest, Timestamp};

use super::commits::{AT, adjustment, moves, record, reservation, write};
use crate::store::{ChangeSet, Footprint, ProductEdit};
use crate::testing::ProductStoreFactory;
use crate::testing::fixtures::{created, load, product};
use crate::{Product, ProductId, Reservation, ReservationId, ReservationState};

/// A load finds exactly what it is asked for; a reservation brings all products of its lines, deleted ones too.
pub async fn a_load_brings_what_reservations_need<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let products: Vec<Product> = (0..4).map(|n| product(&format!("p{n}"), 5, AT)).collect();
    created(&*store, &products).await;
    let mut held = reservation(&products[1], 1, AT);
    held.lines.extend(reservation(&products[2], 1, AT).lines);
    store
        .commit(&ChangeSet { reservations: vec![write(&held, None)], ..ChangeSet::default() })
        .await
        .unwrap();
    let mut deleted = products[2].clone();
    deleted.deleted_at = Some(Timestamp::from_millis(AT));
    (deleted.version, deleted.edited_version) = (2, 2);
    let edit = ProductEdit { product: deleted.clone(), expected_version: 1 };
    store.commit(&ChangeSet { edited: vec![edit], ..ChangeSet::default() }).await.unwrap();
    let footprint = Footprint {
        products: [ProductId::generate()].into(),
        skus: ["p0".parse().unwrap(), "p2".parse().unwrap(), "p9".parse().unwrap()].into(),
        reservations: [held.id, ReservationId::generate()].into(),
        keys: ["never".parse().unwrap()].into(),
        expired: 10,
    };
    let found = load(&*store, footprint).await;
    let mut ids: Vec<_> = found.products.keys().copied().collect();
    ids.sort_unstable();
    let mut expected = vec![products[0].id, products[1].id, products[2].id];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(found.products[&deleted.id], deleted);
    assert_eq!(found.reservations.into_keys().collect::<Vec<_>>(), [held.id]);
    assert!(found.records.is_empty());
    assert!(load(&*store, Footprint::default()).await.products.is_empty(), "nothing asked, nothing found");
    // Many at once.
    let many = Footprint {
        products: (0..3_000).map(|_| ProductId::generate()).chain([products[3].id]).collect(),
        ..Footprint::default()
    };
    assert_eq!(load(&*store, many).await.products.len(), 1);
}

/// `expired` finds held reservations whose time has come by the store's clock, so many at most, with their products.
pub async fn expired_reservations_are_found_by_the_stores_clock<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let now = load(&*store, Footprint::default()).await.now;
    let one = product("one", 50, AT);
    created(&*store, std::slice::from_ref(&one)).await;
    let expiring = |at: Option<Timestamp>, state: ReservationState| Reservation {
        expires_at: at,
        state,
        ..reservation(&one, 1, AT)
    };
    let past = Some(now.minus(Duration::from_millis(1)));
    let due: Vec<Reservation> = (0..3).map(|_| expiring(past, ReservationState::Held)).collect();
    let others = [
        expiring(None, ReservationState::Held),
        expiring(Some(now.plus(Duration::from_secs(3_600))), ReservationState::Held),
        expiring(past, ReservationState::Committed),
        expiring(past, ReservationState::Released),
        expiring(past, ReservationState::Fulfilled),
    ];
    let reservations = due.iter().chain(&others).map(|reservation| write(reservation, None)).collect();
    store.commit(&ChangeSet { reservations, ..ChangeSet::default() }).await.unwrap();
    let found = load(&*store, Footprint { expired: 100, ..Footprint::default() }).await;
    assert_eq!(found.reservations, due.iter().map(|due| (due.id, due.clone())).collect());
    assert!(found.products.contains_key(&one.id), "with the products of their lines");
    let found = load(&*store, Footprint { expired: 2, ..Footprint::default() }).await;
    assert_eq!(found.reservations.len(), 2, "no more than asked for");
    let found = load(&*store, Footprint::default()).await;
    assert!(found.reservations.is_empty(), "none if none are asked for");
    let asked = Footprint { reservations: [due[0].id].into(), ..Footprint::default() };
    assert_eq!(load(&*store, asked).await.reservations[&due[0].id], due[0], "as it is, expired or not");
}

/// A purge takes records, and reservations that ended, from before a time; so many of each at most; nothing else.
pub async fn a_purge_takes_only_what_ended_before<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let one = product("one", 50, AT);
    let in_state = |state: ReservationState, at: i64| Reservation { state, ..reservation(&one, 1, at) };
    use ReservationState::{Committed, Fulfilled, Held, Released};
    let old: Vec<_> = [Released, Fulfilled, Released].map(|state| in_state(state, AT)).into();
    let kept = [
        in_state(Held, AT),
        in_state(Committed, AT),
        in_state(Released, AT + 10),
        in_state(Fulfilled, AT + 11),
    ];
    let records = [record("old-1", AT), record("old-2", AT + 9), record("new", AT + 10)];
    let changes = ChangeSet {
        created: vec![one.clone()],
        reservations: old.iter().chain(&kept).map(|reservation| write(reservation, None)).collect(),
        records: records.to_vec(),
        adjustments: vec![adjustment(one.id, 50)],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    let before = Timestamp::from_millis(AT + 10);
    assert_eq!(store.purge(before, 2).await.unwrap(), 4, "two records and two reservations");
    assert_eq!(store.purge(before, 2).await.unwrap(), 1);
    assert_eq!(store.purge(before, 2).await.unwrap(), 0);
    let footprint = Footprint {
        reservations: old.iter().chain(&kept).map(|reservation| reservation.id).collect(),
        keys: records.iter().map(|record| record.key.clone()).collect(),
        ..Footprint::default()
    };
    let found = load(&*store, footprint).await;
    let expected = kept.iter().map(|kept| (kept.id, kept.clone())).collect();
    assert_eq!(found.reservations, expected);
    assert_eq!(found.records.into_keys().collect::<Vec<_>>(), ["new".parse().unwrap()]);
    assert_eq!(store.adjustments(one.id, &PageRequest::default()).await.unwrap().len(), 1);
    // What was forgotten can be made anew.
    let changes = ChangeSet {
        reservations: vec![write(&old[0], None)],
        records: vec![records[0].clone()],
        stock: vec![moves(&one, 0, 1)],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
}
