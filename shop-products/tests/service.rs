//! What the service makes of a store that fails, conflicts, is slow, or does not know; and its upkeep.

#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::idempotency::{Fingerprint, Idempotency, Keyed, StoredAnswer};
use shop_core::{CombinerConfig, ManualClock, PageRequest, StoreErrorKind, Timestamp};
use shop_products::store::ReservationQuery;
use shop_products::store::memory::MemoryProductStore;
use shop_products::testing::{line, new_product, request, settlement};
use shop_products::{
    Adjustment, NewAdjustment, Product, ProductError, ProductId, ProductRef, ProductService,
    ProductServiceConfig, ReservationState, SettleAction,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

#[path = "service/follow.rs"]
mod follow;
#[path = "service/scripted.rs"]
mod scripted;
use scripted::{Next, Scripted};

struct Shop {
    clock: Arc<ManualClock>,
    store: Scripted,
    service: ProductService,
    product: ProductId,
}

async fn shop(config: ProductServiceConfig) -> Shop {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let store = Scripted::new(clock.clone());
    let service = ProductService::start(Arc::new(store.clone()), clock.clone(), config);
    let made = service.create(new_product("a", 100), None).await.unwrap();
    Shop { clock, store, service, product: made.fresh().unwrap().id }
}

async fn allocated(shop: &Shop) -> i64 {
    shop.service.get(&ProductRef::Id(shop.product)).await.unwrap().stock.allocated
}

/// Another instance over the same store.
fn another(shop: &Shop) -> ProductService {
    ProductService::start(Arc::new(shop.store.clone()), shop.clock.clone(), ProductServiceConfig::default())
}

fn kind_of<T: std::fmt::Debug>(outcome: Result<T, ProductError>) -> StoreErrorKind {
    match outcome {
        Err(ProductError::Unavailable(source) | ProductError::Internal(source)) => source.kind(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_decided_again_but_not_for_ever() {
    let shop =
        shop(ProductServiceConfig { race_time: Duration::from_millis(10), ..Default::default() }).await;
    shop.store.then([Next::Fail(StoreErrorKind::Conflict); 3]);
    shop.service.hold(&request(vec![line(shop.product, 1)])).await.unwrap();
    assert_eq!(shop.service.figures().conflicts, 3);
    shop.store.then([Next::Fail(StoreErrorKind::Conflict); 1_000]);
    let began = Instant::now();
    let outcome = shop.service.hold(&request(vec![line(shop.product, 1)])).await;
    assert_eq!(kind_of(outcome), StoreErrorKind::Conflict);
    assert!(began.elapsed() <= Duration::from_millis(10 + 16), "{:?}", began.elapsed());
    assert_eq!((allocated(&shop).await, shop.service.figures().failures), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_result_is_looked_up() {
    let shop = shop(ProductServiceConfig::default()).await;
    // It was written: done, once.
    shop.store.then([Next::WrittenButUnknown]);
    let held = request(vec![line(shop.product, 1)]);
    assert!(shop.service.hold(&held).await.unwrap().1);
    assert_eq!(allocated(&shop).await, 1);
    // It was not: decided again, and done.
    shop.store.then([Next::Fail(StoreErrorKind::Unknown)]);
    assert!(shop.service.hold(&request(vec![line(shop.product, 1)])).await.unwrap().1);
    assert_eq!(allocated(&shop).await, 2);
    // New products and edits likewise.
    for next in [Next::WrittenButUnknown, Next::Fail(StoreErrorKind::Unknown)] {
        shop.store.then([next]);
        let sku = format!("{next:?}").to_lowercase();
        let made = shop.service.create(new_product(&sku, 1), None).await.unwrap().fresh().unwrap();
        shop.store.then([next]);
        shop.service.delete(&ProductRef::Id(made.id), Some(vec![1])).await.unwrap();
        assert!(matches!(shop.service.get(&ProductRef::Id(made.id)).await, Err(ProductError::NotFound)));
    }
}

fn adjustment(delta: i64) -> NewAdjustment {
    NewAdjustment { delta, reason: "count".into(), reference: None }
}

async fn available(shop: &Shop) -> i64 {
    let checked = shop.service.check(&[line(shop.product, 1)]).await.unwrap();
    checked.lines[0].available
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_rows_have_changed_since_is_known_by_its_key() {
    let shop = shop(ProductServiceConfig::default()).await;
    let keyed = Keyed {
        idempotency: Idempotency { key: "k".parse().unwrap(), fingerprint: Fingerprint([0; 32]) },
        answer: |_: &(Adjustment, Product)| StoredAnswer {
            status: 201,
            location: None,
            etag: None,
            body: String::new(),
        },
    };
    shop.store.then([Next::WrittenThenEdited(shop.product)]);
    let product = ProductRef::Id(shop.product);
    let (_, adjusted) =
        shop.service.adjust(&product, adjustment(7), Some(keyed)).await.unwrap().fresh().unwrap();
    assert_eq!(adjusted.stock.on_hand, 107);
    assert_eq!(shop.service.get(&product).await.unwrap().stock.on_hand, 107);
}

#[tokio::test(start_paused = true)]
async fn after_a_commit_of_unknown_result_checks_read_the_store() {
    let shop = shop(ProductServiceConfig::default()).await;
    let product = ProductRef::Id(shop.product);
    let mut expected = 100;
    for next in [Next::WrittenThenEdited(shop.product), Next::WrittenThenPanic] {
        assert_eq!(available(&shop).await, expected);
        assert_eq!(shop.service.view().len(), 1);
        shop.store.then([next]);
        let outcome = shop.service.adjust(&product, adjustment(-60), None).await;
        assert_eq!(kind_of(outcome), StoreErrorKind::Unknown, "{next:?}");
        expected -= 60;
        assert_eq!(shop.service.view().len(), 0, "{next:?}");
        assert_eq!(available(&shop).await, expected, "{next:?}");
        shop.service.adjust(&product, adjustment(60), None).await.unwrap();
        expected += 60;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_tells_all_its_callers_and_the_next_one_works() {
    let shop = shop(ProductServiceConfig::default()).await;
    for (next, kind) in [
        (Next::Fail(StoreErrorKind::Unavailable), StoreErrorKind::Unavailable),
        (Next::Fail(StoreErrorKind::Full), StoreErrorKind::Full),
        (Next::Fail(StoreErrorKind::Corrupt), StoreErrorKind::Corrupt),
        (Next::Panic, StoreErrorKind::Unknown),
    ] {
        shop.store.then([next]);
        let asked: Vec<_> = (0..5).map(|_| request(vec![line(shop.product, 1)])).collect();
        let (a, b, c) = tokio::join!(
            shop.service.hold(&asked[0]),
            shop.service.hold(&asked[1]),
            shop.service.hold(&asked[2])
        );
        let failed = [a, b, c].into_iter().filter(Result::is_err).collect::<Vec<_>>();
        assert!(!failed.is_empty(), "{next:?}");
        for outcome in failed {
            assert_eq!(kind_of(outcome), kind, "{next:?}");
        }
        let before = allocated(&shop).await;
        shop.service.hold(&asked[4]).await.unwrap();
        assert_eq!(allocated(&shop).await, before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_after_a_while_and_a_key_in_flight_at_once() {
    let config = ProductServiceConfig {
        combiner: CombinerConfig { max_batch: 1, queue: 2 },
        queue_wait: Duration::from_secs(5),
        // No upkeep that takes places in the queue.
        expiry_interval: Duration::from_secs(1_000_000),
        ..Default::default()
    };
    let shop = shop(config).await;
    shop.service.expire().await.unwrap();
    shop.store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let keyed = || Keyed {
        idempotency: Idempotency { key: "k".parse().unwrap(), fingerprint: Fingerprint([0; 32]) },
        answer: |_: &Product| StoredAnswer { status: 201, location: None, etag: None, body: String::new() },
    };
    let first = tokio::spawn({
        let (service, keyed) = (shop.service.clone(), keyed());
        async move { service.create(new_product("b", 1), Some(keyed)).await }
    });
    let second = tokio::spawn({
        let (service, asked) = (shop.service.clone(), request(vec![line(shop.product, 1)]));
        async move { service.hold(&asked).await }
    });
    while shop.service.figures().waiting < 2 {
        tokio::task::yield_now().await;
    }
    let again = shop.service.create(new_product("b", 1), Some(keyed())).await;
    assert!(matches!(again, Err(ProductError::KeyInFlight)), "{again:?}");
    let started = tokio::time::Instant::now();
    let refused = shop.service.hold(&request(vec![line(shop.product, 1)])).await;
    assert_eq!(kind_of(refused), StoreErrorKind::Unavailable);
    assert_eq!(started.elapsed().as_secs(), 5);
    shop.store.gate.add_permits(10);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(shop.service.figures().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn upkeep_releases_what_has_expired_and_deletes_what_is_old() {
    let shop = shop(ProductServiceConfig::default()).await;
    let mut cart = request(vec![line(shop.product, 3)]);
    cart.expires_in = Some(Duration::from_secs(60));
    shop.service.hold(&cart).await.unwrap();
    shop.clock.advance(Duration::from_secs(61));
    // Shown as released before anybody has released it.
    let shown = shop.service.reservation(cart.id).await.unwrap();
    assert_eq!(shown.state, ReservationState::Released);
    let held = ReservationQuery { state: Some(ReservationState::Held), ..Default::default() };
    assert!(shop.service.reservations(&held, &PageRequest::default()).await.unwrap().data.is_empty());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((allocated(&shop).await, shop.service.figures().expired), (0, 1));
    shop.clock.advance(Duration::from_secs(25 * 3_600));
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    assert!(matches!(shop.service.reservation(cart.id).await, Err(ProductError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn the_view_fills_itself_ahead_up_to_its_capacity() {
    let store = MemoryProductStore::default();
    let clock = Arc::new(shop_core::SystemClock);
    let first =
        ProductService::start(Arc::new(store.clone()), clock.clone(), ProductServiceConfig::default());
    for n in 0..20 {
        first.create(new_product(&format!("sku-{n}"), n), None).await.unwrap();
    }
    for (capacity, expected) in [(100, 20), (7, 7)] {
        let config = ProductServiceConfig { view_capacity: capacity, ..Default::default() };
        let service = ProductService::start(Arc::new(store.clone()), clock.clone(), config);
        while service.view().len() < expected {
            tokio::task::yield_now().await;
        }
        // Whatever it holds, every check is right.
        for n in 0..20 {
            let product = ProductRef::Sku(format!("sku-{n}").parse().unwrap());
            let check = service.check(&[shop_products::HoldLine { product, quantity: 1 }]).await.unwrap();
            assert_eq!(check.lines[0].available, n);
            assert!(service.view().len() <= capacity);
        }
        assert_eq!(service.figures().view_misses == 0, capacity == 100);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sold_a_moment_ago_is_sold_and_committed_without_a_read() {
    let shop = shop(ProductServiceConfig::default()).await;
    let by_sku = shop_products::HoldLine { product: ProductRef::Sku("a".parse().unwrap()), quantity: 2 };
    let first = request(vec![line(shop.product, 1)]);
    shop.service.hold(&first).await.unwrap();
    let loads = shop.store.loads.load(Ordering::Relaxed);
    let second = request(vec![by_sku, line(shop.product, 3)]);
    let (held, fresh) = shop.service.hold(&second).await.unwrap();
    assert!(fresh);
    assert_eq!((held.lines.len(), held.lines[0].quantity, &*held.lines[0].name), (1, 5, "Product a"));
    let commit = |id| settlement(id, SettleAction::Commit);
    shop.service.settle(&[commit(first.id), commit(second.id)], None).await.unwrap();
    assert_eq!(shop.store.loads.load(Ordering::Relaxed), loads);
    assert_eq!(allocated(&shop).await, 6);
    for id in [first.id, second.id] {
        assert_eq!(shop.service.reservation(id).await.unwrap().state, ReservationState::Committed);
    }
    // A hold that is sent again is found, wherever that is.
    assert!(!shop.service.hold(&second).await.unwrap().1);
    assert_eq!(allocated(&shop).await, 6);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_guess_takes_nothing_that_is_not_there_and_refuses_nothing_that_is() {
    let shop = shop(ProductServiceConfig::default()).await;
    let other = another(&shop);
    let take = |units| request(vec![line(shop.product, units)]);
    shop.service.hold(&take(1)).await.unwrap();
    // The other has taken all: the guess is that there is enough.
    let all = take(99);
    other.hold(&all).await.unwrap();
    match shop.service.hold(&take(1)).await {
        Err(ProductError::InsufficientStock(short)) => assert_eq!(short[0].available, 0),
        outcome => panic!("{outcome:?}"),
    }
    // The other has given it back: the guess is that there is none.
    other.settle(&[settlement(all.id, SettleAction::Release)], None).await.unwrap();
    shop.service.hold(&take(99)).await.unwrap();
    assert_eq!(allocated(&shop).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_guess_sees_what_another_instance_has_edited_deleted_or_released() {
    let shop = shop(ProductServiceConfig::default()).await;
    let other = another(&shop);
    let product = ProductRef::Id(shop.product);
    let take = || request(vec![line(shop.product, 1)]);
    shop.service.hold(&take()).await.unwrap();
    let renamed = shop_products::ProductDetails { name: "New".into(), ..new_product("a", 0).details };
    other.edit(&product, None, shop_products::ProductEditRequest::Replace(renamed)).await.unwrap();
    let (held, _) = shop.service.hold(&take()).await.unwrap();
    assert_eq!(held.lines[0].name, "New");
    // A late hold of what was released before it came.
    let late = take();
    other.settle(&[settlement(late.id, SettleAction::Release)], None).await.unwrap();
    let refused = shop.service.hold(&late).await;
    assert!(
        matches!(refused, Err(ProductError::ReservationReleased(ReservationState::Released))),
        "{refused:?}"
    );
    // A hold that is sent again, of what was released meanwhile.
    let again = take();
    shop.service.hold(&again).await.unwrap();
    other.settle(&[settlement(again.id, SettleAction::Release)], None).await.unwrap();
    let refused = shop.service.hold(&again).await;
    assert!(
        matches!(refused, Err(ProductError::ReservationReleased(ReservationState::Released))),
        "{refused:?}"
    );
    // A commit of what was released meanwhile.
    let cart = take();
    shop.service.hold(&cart).await.unwrap();
    other.settle(&[settlement(cart.id, SettleAction::Release)], None).await.unwrap();
    let settled = shop.service.settle(&[settlement(cart.id, SettleAction::Commit)], None).await.unwrap();
    assert_eq!(settled.fresh().unwrap()[0].state, Some(ReservationState::Released));
    shop.service.hold(&take()).await.unwrap();
    other.delete(&product, None).await.unwrap();
    let refused = shop.service.hold(&take()).await;
    assert!(matches!(refused, Err(ProductError::UnknownProducts(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guess_lasts_a_second_so_that_checks_see_what_others_have_taken() {
    let shop = shop(ProductServiceConfig::default()).await;
    let other = another(&shop);
    let take = |units| request(vec![line(shop.product, units)]);
    shop.service.hold(&take(1)).await.unwrap();
    other.hold(&take(50)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.service.hold(&take(1)).await.unwrap();
    assert_eq!(available(&shop).await, 48);
}
