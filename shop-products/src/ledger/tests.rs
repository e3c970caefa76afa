//! Random commands: what the ledger decides is sound, and its change set says exactly what it did.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use shop_core::id::Uuid;
use shop_core::idempotency::{Fingerprint, Idempotency, Keyed, StoredAnswer};
use shop_core::{Currency, Money, Timestamp};

use super::{Command, Ledger, Outcome};
use crate::store::{ChangeSet, Snapshot};
use crate::{
    HoldLine, HoldRequest, ImportRow, NewAdjustment, NewProduct, Product, ProductDetails, ProductEditRequest,
    ProductError, ProductId, ProductPatch, ProductRef, ProductStatus, ReservationId, ReservationState,
    SettleAction, Settlement, ShrinkLine, Sku, Stock,
};

const NOW: i64 = 1_700_000_000_000;

fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

fn sku(n: u8) -> Sku {
    format!("SKU-{n}").parse().unwrap()
}

fn product_id(n: u8) -> ProductId {
    ProductId(Uuid::from_u128(u128::from(n) + 1))
}

fn reservation_id(n: u8) -> ReservationId {
    ReservationId(Uuid::from_u128(u128::from(n) + 1))
}

fn details(n: u8) -> ProductDetails {
    ProductDetails {
        sku: sku(n),
        name: format!("Product {n}"),
        description: String::new(),
        price: Money::from_minor(100, Currency::EUR),
        attributes: [].into(),
        tags: vec![],
        status: ProductStatus::Active,
    }
}

fn product(n: u8, on_hand: i64) -> Product {
    Product {
        id: product_id(n),
        details: details(n),
        stock: Stock { on_hand, allocated: 0 },
        version: 1,
        edited_version: 1,
        created_at: now(),
        updated_at: now(),
        deleted_at: None,
    }
}

fn shop(products: impl IntoIterator<Item = Product>) -> Snapshot {
    let products = products.into_iter().map(|product| (product.id, product)).collect();
    Snapshot { now: now(), products, reservations: HashMap::new(), records: HashMap::new() }
}

fn hold(id: u8, lines: &[(ProductRef, i64)]) -> Command {
    Command::Hold { request: request(id, lines, None) }
}

fn request(id: u8, lines: &[(ProductRef, i64)], expires_in: Option<Duration>) -> HoldRequest {
    let lines =
        lines.iter().map(|(product, quantity)| HoldLine { product: product.clone(), quantity: *quantity });
    HoldRequest { id: reservation_id(id), owner: Some("test".into()), lines: lines.collect(), expires_in }
}

fn settle(id: u8, action: SettleAction) -> Command {
    Command::Settle {
        settlements: vec![Settlement { reservation_id: reservation_id(id), action }],
        keyed: None,
    }
}

fn by_id(n: u8) -> ProductRef {
    ProductRef::Id(product_id(n))
}

fn by_sku(n: u8) -> ProductRef {
    ProductRef::Sku(sku(n))
}

fn state_of(outcome: Result<Outcome, ProductError>) -> Option<ReservationState> {
    match outcome {
        Ok(Outcome::Settled(answered)) => answered.fresh().unwrap()[0].state,
        other => panic!("{other:?}"),
    }
}

fn working_copy(ledger: &Ledger) -> Snapshot {
    Snapshot {
        now: ledger.now,
        products: ledger.products.iter().map(|(id, entry)| (*id, entry.product.clone())).collect(),
        reservations: ledger
            .reservations
            .iter()
            .map(|(id, entry)| (*id, entry.reservation.clone()))
            .collect(),
        records: ledger.records.clone(),
    }
}

/// A store's work, as the port has it: every expectation is checked.
fn applied(mut snapshot: Snapshot, changes: &ChangeSet) -> Snapshot {
    for edit in &changes.edited {
        let before = snapshot.products.insert(edit.product.id, edit.product.clone()).unwrap();
        assert_eq!(before.version, edit.expected_version);
        assert!(edit.product.version > before.version);
        if before.details != edit.product.details {
            assert!(edit.product.edited_version > before.version);
        }
    }
    for product in &changes.created {
        assert!(snapshot.products.insert(product.id, product.clone()).is_none());
    }
    for change in &changes.stock {
        let product = snapshot.products.get_mut(&change.product_id).unwrap();
        assert!(change.expected_edited_version.is_none_or(|version| product.edited_version == version));
        product.stock = product.stock.changed(change.on_hand, change.allocated).expect("sound");
        product.version += change.versions;
    }
    for write in &changes.reservations {
        let before = snapshot.reservations.insert(write.reservation.id, write.reservation.clone());
        let before = before.map(|reservation| (reservation.state, reservation.updated_at));
        assert_eq!(before, write.expected);
        assert_ne!(before, Some((write.reservation.state, write.reservation.updated_at)), "a change shows");
    }
    for record in &changes.records {
        assert!(snapshot.records.insert(record.key.clone(), record.clone()).is_none());
    }
    let mut skus: Vec<_> = snapshot
        .products
        .values()
        .filter(|p| p.deleted_at.is_none())
        .map(|p| p.details.sku.clone())
        .collect();
    skus.sort();
    let all = skus.len();
    skus.dedup();
    assert_eq!(skus.len(), all, "SKUs are unique");
    snapshot
}

fn assert_sound(snapshot: &Snapshot) {
    let mut allocated: HashMap<ProductId, i64> = HashMap::new();
    for reservation in snapshot.reservations.values().filter(|reservation| reservation.state.is_live()) {
        for line in &reservation.lines {
            assert!(0 <= line.quantity && line.quantity <= line.held);
            *allocated.entry(line.product_id).or_default() += line.quantity;
        }
    }
    for product in snapshot.products.values() {
        let Stock { on_hand, allocated: taken } = product.stock;
        assert!(0 <= taken && taken <= on_hand, "{product:?}");
        assert_eq!(taken, allocated.get(&product.id).copied().unwrap_or(0), "allocated is what is reserved");
    }
}

#[test]
fn lines_of_one_product_are_summed_and_every_short_line_is_told() {
    let mut ledger = Ledger::new(shop([product(1, 5), product(2, 5), product(3, 5)]));
    let refused = ledger.decide(&hold(1, &[(by_id(1), 3), (by_sku(2), 6), (by_sku(1), 3), (by_id(3), 5)]));
    let Err(ProductError::InsufficientStock(short)) = refused else { panic!("{refused:?}") };
    let short: Vec<_> = short.iter().map(|line| (line.product_id, line.requested, line.available)).collect();
    assert_eq!(short, [(product_id(1), 6, 5), (product_id(2), 6, 5)]);
    let Ok(Outcome::Held(held, true)) = ledger.decide(&hold(1, &[(by_id(1), 3), (by_sku(1), 2)])) else {
        panic!()
    };
    assert_eq!(held.lines.iter().map(|line| line.quantity).collect::<Vec<_>>(), [5]);
}

#[test]
fn every_line_that_cannot_be_ordered_is_told() {
    let mut draft = product(1, 5);
    draft.details.status = ProductStatus::Draft;
    let mut deleted = product(2, 5);
    deleted.deleted_at = Some(now());
    let mut ledger = Ledger::new(shop([draft, deleted, product(3, 0)]));
    let refused = ledger
        .decide(&hold(1, &[(by_id(3), 1), (by_id(1), 1), (by_id(2), 1), (by_sku(2), 1), (by_id(9), 1)]));
    let Err(ProductError::UnknownProducts(unknown)) = refused else { panic!("{refused:?}") };
    use crate::LineStatus::{Inactive, Unknown};
    let unknown: Vec<_> = unknown.iter().map(|line| (line.line, line.status)).collect();
    assert_eq!(unknown, [(1, Inactive), (2, Unknown), (3, Unknown), (4, Unknown)]);
    assert!(ledger.finish().changes.is_empty());
}

#[test]
fn the_same_hold_again_is_the_same_reservation() {
    let mut ledger = Ledger::new(shop([product(1, 9), product(2, 9)]));
    ledger.decide(&hold(1, &[(by_sku(1), 2), (by_id(2), 1)])).unwrap();
    // Known by the SKU that it had, though it has another now; summed, in another order, by id.
    let patch = ProductPatch { sku: Some(sku(7)), ..ProductPatch::default() };
    let edit = Box::new(ProductEditRequest::Patch(patch));
    ledger.decide(&Command::Edit { product: by_id(1), if_match: None, edit }).unwrap();
    for lines in [vec![(by_sku(1), 2), (by_id(2), 1)], vec![(by_id(2), 1), (by_id(1), 1), (by_sku(7), 1)]] {
        assert!(matches!(ledger.decide(&hold(1, &lines)), Ok(Outcome::Held(_, false))));
    }
    for lines in
        [vec![(by_id(1), 2)], vec![(by_id(1), 2), (by_id(2), 2)], vec![(by_sku(9), 2), (by_id(2), 1)]]
    {
        assert!(matches!(ledger.decide(&hold(1, &lines)), Err(ProductError::OtherLines)));
    }
    let keep = vec![ShrinkLine { product_id: product_id(1), quantity: 1 }];
    ledger.decide(&settle(1, SettleAction::Shrink(keep))).unwrap();
    assert!(matches!(ledger.decide(&hold(1, &[(by_sku(1), 2), (by_id(2), 1)])), Ok(Outcome::Held(_, false))));
    ledger.decide(&settle(1, SettleAction::Release)).unwrap();
    assert!(matches!(
        ledger.decide(&hold(1, &[(by_sku(1), 2), (by_id(2), 1)])),
        Err(ProductError::ReservationReleased(ReservationState::Released))
    ));
}

#[test]
fn settling_twice_late_and_out_of_order_changes_nothing_more() {
    use ReservationState::{Committed, Fulfilled, Released};
    let mut ledger = Ledger::new(shop([product(1, 9)]));
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Commit))), None);
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Fulfil))), None);
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Shrink(vec![])))), None);
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Release))), Some(Released));
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Commit))), Some(Released));
    assert!(matches!(
        ledger.decide(&hold(1, &[(by_id(1), 1)])),
        Err(ProductError::ReservationReleased(Released))
    ));
    ledger.decide(&hold(2, &[(by_id(1), 4)])).unwrap();
    for _ in 0..2 {
        assert_eq!(state_of(ledger.decide(&settle(2, SettleAction::Commit))), Some(Committed));
    }
    for action in [SettleAction::Fulfil, SettleAction::Fulfil, SettleAction::Release, SettleAction::Commit] {
        assert_eq!(state_of(ledger.decide(&settle(2, action))), Some(Fulfilled));
    }
    assert_eq!(ledger.products[&product_id(1)].product.stock, Stock { on_hand: 5, allocated: 0 });
}

#[test]
fn a_shrunk_reservation_never_grows() {
    let mut ledger = Ledger::new(shop([product(1, 9), product(2, 9)]));
    ledger.decide(&hold(1, &[(by_id(1), 4), (by_id(2), 4)])).unwrap();
    for (keep, left) in [(3, 3), (9, 3), (3, 3), (0, 0), (4, 0)] {
        let lines = vec![ShrinkLine { product_id: product_id(1), quantity: keep }];
        ledger.decide(&settle(1, SettleAction::Shrink(lines))).unwrap();
        assert_eq!(ledger.products[&product_id(1)].product.stock.allocated, left);
        assert_eq!(ledger.products[&product_id(2)].product.stock.allocated, 0, "a product that is not named");
    }
}

#[test]
fn what_has_expired_is_released_first() {
    let mut snapshot = shop([product(1, 1)]);
    let span = Duration::from_millis(5);
    let mut ledger = Ledger::new(snapshot.clone());
    ledger.decide(&Command::Hold { request: request(1, &[(by_id(1), 1)], Some(span)) }).unwrap();
    assert!(matches!(ledger.decide(&hold(2, &[(by_id(1), 1)])), Err(ProductError::InsufficientStock(_))));
    snapshot = applied(snapshot, &ledger.finish().changes);
    snapshot.now = now().plus(span);
    let mut ledger = Ledger::new(snapshot);
    assert!(matches!(ledger.decide(&hold(2, &[(by_id(1), 1)])), Ok(Outcome::Held(_, true))));
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Commit))), Some(ReservationState::Released));
}

#[test]
fn a_deleted_product_keeps_what_is_allocated_and_frees_its_sku() {
    let mut ledger = Ledger::new(shop([product(1, 5)]));
    ledger.decide(&hold(1, &[(by_id(1), 4)])).unwrap();
    ledger.decide(&Command::Delete { product: by_sku(1), if_match: None }).unwrap();
    assert!(matches!(
        ledger.decide(&Command::Delete { product: by_id(1), if_match: None }),
        Err(ProductError::NotFound)
    ));
    let new = Box::new(NewProduct { details: details(1), on_hand: 1 });
    assert!(matches!(ledger.decide(&Command::Create { new, keyed: None }), Ok(Outcome::Created(_))));
    assert_eq!(state_of(ledger.decide(&settle(1, SettleAction::Fulfil))), Some(ReservationState::Fulfilled));
    assert_eq!(ledger.products[&product_id(1)].product.stock, Stock { on_hand: 1, allocated: 0 });
}

#[test]
fn an_edit_needs_the_details_to_have_been_seen_but_not_the_stock() {
    let mut ledger = Ledger::new(shop([product(1, 5)]));
    ledger.decide(&hold(1, &[(by_id(1), 1)])).unwrap();
    let edit = |name: &str, seen: u64| Command::Edit {
        product: by_id(1),
        if_match: Some(vec![seen]),
        edit: Box::new(ProductEditRequest::Replace(ProductDetails { name: name.into(), ..details(1) })),
    };
    let Ok(Outcome::Edited(edited)) = ledger.decide(&edit("b", 1)) else { panic!() };
    assert_eq!((edited.version, edited.edited_version), (3, 3));
    for stale in [1, 2, 4] {
        assert!(matches!(
            ledger.decide(&edit("c", stale)),
            Err(ProductError::VersionMismatch { current: 3 })
        ));
    }
    let Ok(Outcome::Edited(same)) = ledger.decide(&edit("b", 3)) else { panic!() };
    assert_eq!(same.version, 3, "an edit that changes nothing is no edit");
}

#[test]
fn a_key_is_answered_once_and_refuses_other_content() {
    let mut ledger = Ledger::new(shop([product(1, 5)]));
    let adjust = |delta: i64, content: &[u8]| Command::Adjust {
        product: by_id(1),
        new: NewAdjustment { delta, reason: "count".into(), reference: None },
        keyed: Some(Keyed {
            idempotency: Idempotency {
                key: "k".parse().unwrap(),
                fingerprint: Fingerprint::of_request("POST", "/", content),
            },
            answer: |(adjustment, _)| StoredAnswer {
                status: 201,
                location: None,
                etag: None,
                body: adjustment.on_hand.to_string(),
            },
        }),
    };
    assert!(matches!(
        ledger.decide(&adjust(-9, b"a")),
        Err(ProductError::BelowAllocated { on_hand: -4, allocated: 0 })
    ));
    assert!(ledger.records.is_empty(), "a refusal leaves no record");
    ledger.decide(&adjust(2, b"b")).unwrap();
    let Ok(Outcome::Adjusted(again)) = ledger.decide(&adjust(2, b"b")) else { panic!() };
    assert!(matches!(*again, shop_core::idempotency::Answered::Replayed(answer) if answer.body == "7"));
    assert!(matches!(ledger.decide(&adjust(3, b"c")), Err(ProductError::KeyReused)));
    let changes = ledger.finish().changes;
    assert_eq!((changes.records.len(), changes.adjustments.len(), changes.edited.len()), (1, 1, 1));
}

#[test]
fn rows_of_one_sku_are_imported_in_order() {
    let mut ledger = Ledger::new(shop([]));
    let row = |name: &str, on_hand| ImportRow {
        details: ProductDetails { name: name.into(), ..details(1) },
        on_hand,
    };
    let rows = vec![row("a", Some(3)), row("b", None), row("b", Some(3)), row("b", Some(-1))];
    let Ok(Outcome::Imported(outcomes)) = ledger.decide(&Command::Import { rows }) else { panic!() };
    use crate::RowOutcome::{Created, Refused, Unchanged, Updated};
    assert!(matches!(
        outcomes[..],
        [Created(_), Updated(_), Unchanged(_), Refused(ProductError::Invalid(_))]
    ));
    let changes = ledger.finish().changes;
    assert_eq!(changes.created.len(), 1);
    assert_eq!((changes.created[0].details.name.as_str(), changes.created[0].stock.on_hand), ("b", 3));
}

/// Commands over few ids, so that they meet.
fn command() -> impl Strategy<Value = Command> {
    let which = || prop_oneof![(0_u8..5).prop_map(by_id), (0_u8..5).prop_map(by_sku)];
    let lines = prop::collection::vec((which(), 1_i64..5), 1..4);
    let action = prop_oneof![
        Just(SettleAction::Commit),
        Just(SettleAction::Release),
        Just(SettleAction::Fulfil),
        prop::collection::vec((0_u8..5, 0_i64..4), 0..3).prop_map(|keep| SettleAction::Shrink(
            keep.into_iter()
                .map(|(n, quantity)| ShrinkLine { product_id: product_id(n), quantity })
                .collect()
        )),
    ];
    let if_match = prop::option::of(prop::collection::vec(1_u64..6, 0..3));
    prop_oneof![
        6 => (0_u8..8, lines, prop::option::of(0_u64..9)).prop_map(|(id, lines, span)| Command::Hold {
            request: request(id, &lines, span.map(Duration::from_millis))
        }),
        6 => (0_u8..8, action).prop_map(|(id, action)| settle(id, action)),
        1 => (0_u8..5, 0_i64..9).prop_map(|(n, on_hand)| Command::Create {
            new: Box::new(NewProduct { details: details(n), on_hand }), keyed: None
        }),
        2 => (which(), if_match.clone(), 0_u8..5, any::<bool>()).prop_map(|(product, if_match, n, active)| {
            let status = if active { ProductStatus::Active } else { ProductStatus::Archived };
            let patch = ProductPatch { sku: Some(sku(n)), status: Some(status), ..ProductPatch::default() };
            Command::Edit { product, if_match, edit: Box::new(ProductEditRequest::Patch(patch)) }
        }),
        1 => (which(), if_match).prop_map(|(product, if_match)| Command::Delete { product, if_match }),
        2 => (which(), -5_i64..9).prop_map(|(product, delta)| Command::Adjust {
            product, new: NewAdjustment { delta, reason: "count".into(), reference: None }, keyed: None
        }),
        1 => prop::collection::vec((0_u8..5, prop::option::of(0_i64..9)), 1..4).prop_map(|rows| Command::Import {
            rows: rows.into_iter().map(|(n, on_hand)| ImportRow { details: details(n), on_hand }).collect()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_batch_is_sound_and_said_in_full(
        batches in prop::collection::vec(prop::collection::vec(command(), 1..8), 1..8),
    ) {
        let mut snapshot = shop((0..4).map(|n| product(n, 6)));
        for batch in batches {
            let mut ledger = Ledger::new(snapshot.clone());
            for command in &batch {
                let before = working_copy(&ledger);
                let outcome = ledger.decide(command);
                let after = working_copy(&ledger);
                if outcome.is_err() {
                    prop_assert_eq!(&before, &after, "a refused command changes nothing");
                }
                assert_sound(&after);
            }
            let intended = working_copy(&ledger);
            snapshot = applied(snapshot, &ledger.finish().changes);
            prop_assert_eq!(&snapshot, &intended);
            snapshot.now = snapshot.now.plus(Duration::from_millis(3));
        }
    }
}
