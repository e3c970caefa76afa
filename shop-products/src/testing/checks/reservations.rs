use std::sync::Arc;
use std::time::Duration;

use shop_core::Timestamp;

use super::commits::{moves, write};
use crate::store::{ChangeSet, Footprint};
use crate::testing::ProductStoreFactory;
use crate::testing::fixtures::{line, load, request, service, settlement, stock, stocked};
use crate::{
    HoldLine, LineStatus, ProductError, ProductId, ProductRef, ProductService, ProductStatus, ProductStore,
    Reservation, ReservationId, ReservationState, SettleAction, ShrinkLine, Stock,
};

async fn settle(
    service: &ProductService,
    id: ReservationId,
    action: SettleAction,
) -> Option<ReservationState> {
    let answered = service.settle(&[settlement(id, action)], None).await.unwrap();
    answered.fresh().unwrap()[0].state
}

/// What live reservations hold, over all products, must be what the products say is allocated.
async fn assert_books_balance(
    service: &ProductService,
    products: &[ProductId],
    reservations: &[ReservationId],
) {
    let mut held = std::collections::HashMap::new();
    for id in reservations {
        match service.reservation(*id).await {
            Ok(reservation) if reservation.state.is_live() => {
                for line in reservation.lines {
                    *held.entry(line.product_id).or_insert(0) += line.quantity;
                }
            }
            Ok(_) | Err(ProductError::NotFound) => {}
            Err(error) => panic!("{error}"),
        }
    }
    for product in products {
        let Stock { on_hand, allocated } = stock(service, *product).await;
        assert!(0 <= allocated && allocated <= on_hand);
        assert_eq!(allocated, held.get(product).copied().unwrap_or(0), "allocated is what is reserved");
    }
}

/// What others hold is not available.
pub async fn a_hold_counts_what_others_hold<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let ids = stocked(&service, &[("a", 5), ("b", 5)]).await;
    let first = request(vec![line(ids[0], 3), line(ids[1], 1)]);
    let (held, fresh) = service.hold(&first).await.unwrap();
    assert!(fresh && held.state == ReservationState::Held && held.lines.len() == 2);
    let second = request(vec![line(ids[0], 2), line(ids[1], 4)]);
    service.hold(&second).await.unwrap();
    for id in &ids {
        let refused = service.hold(&request(vec![line(*id, 1)])).await;
        let Err(ProductError::InsufficientStock(short)) = refused else { panic!("{refused:?}") };
        assert_eq!((short[0].product_id, short[0].requested, short[0].available), (*id, 1, 0));
    }
    assert_books_balance(&service, &ids, &[first.id, second.id]).await;
    assert_eq!(settle(&service, first.id, SettleAction::Release).await, Some(ReservationState::Released));
    let third = request(vec![line(ids[0], 3)]);
    service.hold(&third).await.unwrap();
    assert_books_balance(&service, &ids, &[first.id, second.id, third.id]).await;
}

/// Two lines of one product, by id and by SKU, ask for their sum.
pub async fn lines_of_one_product_are_summed<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let ids = stocked(&service, &[("a", 5)]).await;
    let by_sku = |quantity| HoldLine { product: ProductRef::Sku("a".parse().unwrap()), quantity };
    let refused = service.hold(&request(vec![line(ids[0], 3), by_sku(3)])).await;
    let Err(ProductError::InsufficientStock(short)) = refused else { panic!("{refused:?}") };
    assert_eq!((short.len(), short[0].requested, short[0].available), (1, 6, 5));
    let (held, _) = service.hold(&request(vec![line(ids[0], 3), by_sku(2)])).await.unwrap();
    assert_eq!(held.lines.iter().map(|line| (line.quantity, line.held)).collect::<Vec<_>>(), [(5, 5)]);
    assert_eq!(stock(&service, ids[0]).await, Stock { on_hand: 5, allocated: 5 });
}

/// A refusal names every line that is short, or every line that cannot be ordered, and takes nothing.
pub async fn every_short_and_every_unknown_line_is_told<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let ids = stocked(&service, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let refused = service.hold(&request(ids.iter().map(|id| line(*id, 3)).collect())).await;
    let Err(ProductError::InsufficientStock(short)) = refused else { panic!("{refused:?}") };
    assert_eq!(short.iter().map(|line| line.product_id).collect::<Vec<_>>(), ids[..2]);
    let mut draft = crate::testing::new_product("draft", 9);
    draft.details.status = ProductStatus::Draft;
    let draft = service.create(draft, None).await.unwrap().fresh().unwrap().id;
    let nobody = ProductId::generate();
    let no_sku = HoldLine { product: ProductRef::Sku("nope".parse().unwrap()), quantity: 1 };
    let refused =
        service.hold(&request(vec![line(nobody, 1), line(ids[0], 1), line(draft, 1), no_sku])).await;
    let Err(ProductError::UnknownProducts(unknown)) = refused else { panic!("{refused:?}") };
    let told: Vec<_> = unknown.iter().map(|line| (line.line, line.status)).collect();
    assert_eq!(told, [(0, LineStatus::Unknown), (2, LineStatus::Inactive), (3, LineStatus::Unknown)]);
    assert_eq!(
        (unknown[0].product_id, unknown[2].sku.as_ref().map(|s| s.as_str())),
        (Some(nobody), Some("nope"))
    );
    assert_books_balance(&service, &ids, &[]).await;
    for bad in [vec![], vec![line(ids[0], 0)], vec![line(ids[0], -1)], vec![line(ids[0], i64::MAX)]] {
        assert!(matches!(service.hold(&request(bad)).await, Err(ProductError::Invalid(_))));
    }
}

/// Many callers with the same products in opposite orders, through two instances: all get done.
pub async fn opposite_line_order_does_not_lock_up<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let ids = stocked(&services[0], &[("a", 1_000), ("b", 1_000), ("c", 1_000)]).await;
    let holds: Vec<_> = (0..40)
        .map(|n| {
            let mut lines: Vec<_> = ids.iter().map(|id| line(*id, 1)).collect();
            if n % 2 == 0 {
                lines.reverse();
            }
            let (service, request) = (services[n / 2 % 2].clone(), request(lines));
            let id = request.id;
            (id, tokio::spawn(async move { service.hold(&request).await }))
        })
        .collect();
    let mut reservations = Vec::new();
    for (id, hold) in holds {
        hold.await.unwrap().unwrap();
        reservations.push(id);
    }
    assert_books_balance(&services[1], &ids, &reservations).await;
    assert_eq!(stock(&services[0], ids[0]).await.allocated, 40);
}

/// One unit, a thousand buyers at once: one has it, the others are told that there is none.
pub async fn one_unit_and_a_thousand_buyers<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let ids = stocked(&service, &[("a", 1)]).await;
    let buyers: Vec<_> = (0..1_000)
        .map(|_| {
            let (service, request) = (service.clone(), request(vec![line(ids[0], 1)]));
            tokio::spawn(async move { service.hold(&request).await })
        })
        .collect();
    let (mut won, mut short) = (0, 0);
    for buyer in buyers {
        match buyer.await.unwrap() {
            Ok((_, true)) => won += 1,
            Err(ProductError::InsufficientStock(_)) => short += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((won, short), (1, 999));
    assert_eq!(stock(&service, ids[0]).await, Stock { on_hand: 1, allocated: 1 });
}

/// Two instances over one store take what there is, to the unit, and never more.
pub async fn two_instances_never_oversell<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let ids = stocked(&services[0], &[("a", 30), ("b", 1_000)]).await;
    let buyers: Vec<_> = (0..60)
        .map(|n| {
            let request = request(vec![line(ids[0], 1), line(ids[1], 2)]);
            let (service, id) = (services[n % 2].clone(), request.id);
            (id, tokio::spawn(async move { service.hold(&request).await }))
        })
        .collect();
    let (mut won, mut reservations) = (0, Vec::new());
    for (id, buyer) in buyers {
        reservations.push(id);
        match buyer.await.unwrap() {
            Ok(_) => won += 1,
            Err(ProductError::InsufficientStock(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 30, "all that there is");
    assert_books_balance(&services[0], &ids, &reservations).await;
    // Both release all of them, at once: each is given back once.
    let releases: Vec<_> = reservations.iter().map(|id| settlement(*id, SettleAction::Release)).collect();
    let (a, b) = tokio::join!(services[0].settle(&releases, None), services[1].settle(&releases, None));
    assert!(a.unwrap().fresh().unwrap().iter().all(|o| o.state == Some(ReservationState::Released)));
    assert!(b.unwrap().fresh().unwrap().iter().all(|o| o.state == Some(ReservationState::Released)));
    for id in &ids {
        assert_eq!(stock(&services[1], *id).await.allocated, 0);
    }
}

/// The same id with the same lines is the stored reservation, at any instance; with other lines it is refused.
pub async fn the_same_hold_again_is_the_same_reservation<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let ids = stocked(&services[0], &[("a", 9), ("b", 9)]).await;
    let asked = request(vec![line(ids[0], 2), line(ids[1], 1)]);
    let calls: Vec<_> = (0..10)
        .map(|n| {
            let (service, asked) = (services[n % 2].clone(), asked.clone());
            tokio::spawn(async move { service.hold(&asked).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|(_, fresh)| *fresh).count(), 1, "taken once");
    assert!(answers.iter().all(|(reservation, _)| *reservation == answers[0].0));
    let mut other = asked.clone();
    for lines in [vec![line(ids[0], 2)], vec![line(ids[0], 2), line(ids[1], 2)]] {
        other.lines = lines;
        assert!(matches!(services[1].hold(&other).await, Err(ProductError::OtherLines)));
    }
    assert_eq!(stock(&services[0], ids[0]).await.allocated, 2);
    assert_eq!(services[1].reservation(asked.id).await.unwrap(), answers[0].0);
}

/// Commit, release, fulfil and shrink: each may come twice, late, out of order; the state absorbs it.
pub async fn settling_twice_late_or_out_of_order_changes_nothing_more<F: ProductStoreFactory>(factory: &F) {
    use ReservationState::{Committed, Fulfilled, Held, Released};
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let ids = stocked(&service, &[("a", 20), ("b", 20)]).await;
    let hold = async || {
        let request = request(vec![line(ids[0], 4), line(ids[1], 2)]);
        service.hold(&request).await.unwrap();
        request.id
    };
    let keep = |quantity| SettleAction::Shrink(vec![ShrinkLine { product_id: ids[0], quantity }]);
    let both = async || (stock(&service, ids[0]).await, stock(&service, ids[1]).await);
    let at = |on_hand, allocated| Stock { on_hand, allocated };

    let shipped = hold().await;
    for (action, state, stocks) in [
        (SettleAction::Commit, Committed, (at(20, 4), at(20, 2))),
        (SettleAction::Commit, Committed, (at(20, 4), at(20, 2))),
        (keep(3), Committed, (at(20, 3), at(20, 0))),
        (keep(9), Committed, (at(20, 3), at(20, 0))),
        (SettleAction::Fulfil, Fulfilled, (at(17, 0), at(20, 0))),
        (SettleAction::Fulfil, Fulfilled, (at(17, 0), at(20, 0))),
        (SettleAction::Release, Fulfilled, (at(17, 0), at(20, 0))),
        (SettleAction::Commit, Fulfilled, (at(17, 0), at(20, 0))),
        (keep(0), Fulfilled, (at(17, 0), at(20, 0))),
    ] {
        assert_eq!(settle(&service, shipped, action.clone()).await, Some(state), "{action:?}");
        assert_eq!(both().await, stocks, "{action:?}");
    }
    let cancelled = hold().await;
    for (action, state, stocks) in [
        (keep(4), Held, (at(17, 4), at(20, 0))),
        (SettleAction::Release, Released, (at(17, 0), at(20, 0))),
        (SettleAction::Release, Released, (at(17, 0), at(20, 0))),
        (SettleAction::Commit, Released, (at(17, 0), at(20, 0))),
        (SettleAction::Fulfil, Released, (at(17, 0), at(20, 0))),
    ] {
        assert_eq!(settle(&service, cancelled, action.clone()).await, Some(state), "{action:?}");
        assert_eq!(both().await, stocks, "{action:?}");
    }
    for action in [SettleAction::Commit, SettleAction::Fulfil, keep(1)] {
        assert_eq!(settle(&service, ReservationId::generate(), action).await, None, "never seen");
    }
    // Many in one call, one of them twice; the outcomes are in order.
    let (x, y) = (hold().await, hold().await);
    let calls = [(x, SettleAction::Commit), (y, SettleAction::Release), (x, SettleAction::Release)];
    let calls: Vec<_> = calls.into_iter().map(|(id, action)| settlement(id, action)).collect();
    let outcomes = service.settle(&calls, None).await.unwrap().fresh().unwrap();
    let states: Vec<_> = outcomes.iter().map(|o| (o.reservation_id, o.state)).collect();
    assert_eq!(states, [(x, Some(Committed)), (y, Some(Released)), (x, Some(Released))]);
    assert_eq!(both().await, (at(17, 0), at(20, 0)));
}

/// A release that overtakes its hold refuses it.
pub async fn a_release_before_the_hold_refuses_it<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let ids = stocked(&services[0], &[("a", 5)]).await;
    let late = request(vec![line(ids[0], 1)]);
    assert_eq!(settle(&services[0], late.id, SettleAction::Release).await, Some(ReservationState::Released));
    let refused = services[1].hold(&late).await;
    assert!(
        matches!(refused, Err(ProductError::ReservationReleased(ReservationState::Released))),
        "{refused:?}"
    );
    assert_eq!(stock(&services[0], ids[0]).await.allocated, 0);
    let kept = services[1].reservation(late.id).await.unwrap();
    assert!(kept.state == ReservationState::Released && kept.lines.is_empty());
}

/// An expired hold is given back by the next write, is shown as released, and cannot be committed.
pub async fn an_expired_hold_gives_its_units_back<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store.clone());
    let ids = stocked(&service, &[("a", 2)]).await;
    let now = load(&*store, Footprint::default()).await.now;
    let product = service.get(&ProductRef::Id(ids[0])).await.unwrap();
    let expired = Reservation {
        expires_at: Some(now.minus(Duration::from_secs(1))),
        ..super::commits::reservation(&product, 2, now.as_millis())
    };
    let changes = ChangeSet {
        stock: vec![moves(&product, 0, 2)],
        reservations: vec![write(&expired, None)],
        ..ChangeSet::default()
    };
    store.commit(&changes).await.unwrap();
    let buyer = request(vec![line(ids[0], 2)]);
    service.hold(&buyer).await.expect("the expired units are free");
    assert_eq!(service.reservation(expired.id).await.unwrap().state, ReservationState::Released);
    assert_eq!(settle(&service, expired.id, SettleAction::Commit).await, Some(ReservationState::Released));
    assert_eq!(stock(&service, ids[0]).await, Stock { on_hand: 2, allocated: 2 });
    // One that has time is left alone, and says when.
    settle(&service, buyer.id, SettleAction::Release).await;
    let mut cart = request(vec![line(ids[0], 1)]);
    cart.expires_in = Some(Duration::from_secs(3_600));
    let (held, _) = service.hold(&cart).await.unwrap();
    let at: Timestamp = held.expires_at.expect("it says when");
    assert_eq!(at, held.created_at.plus(Duration::from_secs(3_600)));
    service.expire().await.unwrap();
    assert_eq!(service.reservation(cart.id).await.unwrap().state, ReservationState::Held);
}

/// A deleted product is not found and not ordered, but what is allocated stays, and can be shipped or given back.
pub async fn a_deleted_product_keeps_what_is_allocated<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let store: Arc<dyn ProductStore> = store;
    let service = service(store.clone());
    let ids = stocked(&service, &[("a", 5)]).await;
    let (first, second) = (request(vec![line(ids[0], 2)]), request(vec![line(ids[0], 1)]));
    service.hold(&first).await.unwrap();
    service.hold(&second).await.unwrap();
    service.delete(&ProductRef::Id(ids[0]), None).await.unwrap();
    assert!(matches!(service.get(&ProductRef::Id(ids[0])).await, Err(ProductError::NotFound)));
    let refused = service.hold(&request(vec![line(ids[0], 1)])).await;
    assert!(matches!(refused, Err(ProductError::UnknownProducts(_))), "{refused:?}");
    let heir = stocked(&service, &[("a", 7)]).await[0];
    assert_ne!(heir, ids[0], "the SKU is free");
    assert_eq!(settle(&service, first.id, SettleAction::Fulfil).await, Some(ReservationState::Fulfilled));
    assert_eq!(settle(&service, second.id, SettleAction::Release).await, Some(ReservationState::Released));
    let footprint = Footprint { products: [ids[0]].into(), ..Footprint::default() };
    let kept = &load(&*store, footprint).await.products[&ids[0]];
    assert_eq!(kept.stock, Stock { on_hand: 3, allocated: 0 });
    assert_eq!(stock(&service, heir).await, Stock { on_hand: 7, allocated: 0 });
}
