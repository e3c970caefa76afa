//! The stock view of one instance while another writes to the same store, as the store tells of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::{Clock, ManualClock, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::store::{ChangedProduct, ProductChange};
use shop_products::testing::{line, new_product, request};
use shop_products::{ProductId, ProductService, ProductServiceConfig, StockCheck};
use tokio::sync::mpsc;

use super::scripted::Scripted;

struct Two {
    clock: Arc<ManualClock>,
    store: Scripted,
    tell: mpsc::UnboundedSender<StoreResult<ProductChange>>,
    mine: ProductService,
    other: ProductService,
    product: ProductId,
}

/// Two instances, of which mine follows, and a product of which there are 100.
async fn two() -> Two {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let mut store = Scripted::new(clock.clone());
    let tell = store.telling();
    // Upkeep reads as well, which is not what is counted here.
    let config = ProductServiceConfig { expiry_interval: Duration::from_secs(3_600), ..Default::default() };
    let start = |store| ProductService::start(store, clock.clone(), config.clone());
    let other = start(Arc::new(store.inner.clone()));
    let product = other.create(new_product("a", 100), None).await.unwrap().fresh().unwrap().id;
    let mine = start(Arc::new(store.clone()));
    Two { clock, store, tell, mine, other, product }
}

impl Two {
    fn tell(&self, change: ProductChange) {
        self.tell.send(Ok(change)).unwrap();
    }

    fn changed(&self, version: Option<u64>) {
        self.tell(ProductChange::Changed(vec![ChangedProduct { id: self.product, version }]));
    }

    fn lose(&self) {
        self.tell.send(Err(StoreError::new(StoreErrorKind::Unavailable, "scripted"))).unwrap();
    }

    /// Says that all was told until now, and waits until that was heard.
    async fn current(&self) {
        self.clock.advance(Duration::from_millis(10));
        let now = self.clock.now();
        self.tell(ProductChange::Current(now));
        until(|| self.mine.view().as_of(now) == Some(now)).await;
    }

    /// Mine follows, and has the product in its view.
    async fn follow(&self) {
        self.tell(ProductChange::Gap);
        self.current().await;
        until(|| self.mine.view().len() == 1).await;
    }

    async fn check(&self) -> (i64, StockCheck) {
        let check = self.mine.check(&[line(self.product, 1)]).await.unwrap();
        (check.lines[0].available, check)
    }

    async fn check_from_memory(&self) -> i64 {
        let misses = self.mine.figures().view_misses;
        let (available, _) = self.check().await;
        assert_eq!(self.mine.figures().view_misses, misses, "the store was read");
        available
    }

    async fn check_from_store(&self) -> i64 {
        let misses = self.mine.figures().view_misses;
        let (available, check) = self.check().await;
        assert_eq!(self.mine.figures().view_misses, misses + 1, "the store was not read");
        assert_eq!(check.as_of, self.clock.now());
        available
    }

    async fn sell(&self, by: &ProductService) {
        by.hold(&request(vec![line(self.product, 1)])).await.unwrap();
    }
}

/// Time stands still but for this.
async fn until(done: impl Fn() -> bool) {
    for _ in 0..2_500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not come");
}

#[tokio::test(start_paused = true)]
async fn what_another_instance_sells_is_shown_once_it_is_told() {
    let two = two().await;
    assert!(!two.mine.figures().view_fresh);
    assert_eq!(two.check_from_store().await, 100, "nothing was told yet");
    two.follow().await;
    let told = two.clock.now();
    two.clock.advance(Duration::from_secs(1));
    two.sell(&two.other).await;
    let (available, check) = two.check().await;
    assert_eq!((available, check.as_of), (100, told), "it says how old it is");
    two.changed(Some(2));
    two.current().await;
    assert_eq!(two.check_from_memory().await, 99);
    assert_eq!(two.check().await.1.as_of, two.clock.now());
    let figures = two.mine.figures();
    assert_eq!((figures.view_fresh, figures.view_told, figures.view_gaps), (true, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn told_twice_late_in_another_order_or_without_a_version_the_newest_is_shown() {
    let two = two().await;
    two.follow().await;
    for _ in 0..3 {
        two.sell(&two.other).await;
    }
    for version in [Some(4), Some(2), Some(4), Some(3), None, Some(1)] {
        two.changed(version);
        two.current().await;
        assert_eq!(two.check_from_memory().await, 97, "{version:?}");
    }
    // Mine is told too, before its answer or after.
    two.sell(&two.mine).await;
    two.sell(&two.other).await;
    two.changed(Some(5));
    two.changed(Some(6));
    two.current().await;
    assert_eq!(two.check_from_memory().await, 95);
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_told_a_check_reads_the_store() {
    let two = two().await;
    two.follow().await;
    two.lose();
    until(|| !two.mine.figures().view_fresh).await;
    two.sell(&two.other).await;
    assert_eq!(two.check_from_store().await, 99);
    // Lost again and again, it is asked for again each time.
    for _ in 0..20 {
        two.lose();
    }
    two.tell(ProductChange::Gap);
    let now = two.clock.now();
    two.tell(ProductChange::Current(now));
    tokio::time::sleep(Duration::from_secs(300)).await;
    two.current().await;
    until(|| two.mine.view().len() == 1).await;
    assert_eq!(two.check_from_memory().await, 99, "what it held before is gone");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_nothing_is_left_of_what_was_before() {
    let two = two().await;
    two.follow().await;
    two.sell(&two.other).await;
    two.tell(ProductChange::Gap);
    until(|| two.mine.view().is_empty()).await;
    assert_eq!(two.check_from_store().await, 99, "current as of no moment yet");
    two.current().await;
    until(|| two.mine.view().len() == 1).await;
    assert_eq!(two.check_from_memory().await, 99);
    assert_eq!(two.mine.figures().view_gaps, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_known_while_nothing_is_missed() {
    let two = two().await;
    two.follow().await;
    two.sell(&two.mine).await;
    two.changed(Some(2));
    let loads = two.store.loads.load(Ordering::Relaxed);
    for version in 3..8 {
        two.current().await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        two.sell(&two.mine).await;
        two.changed(Some(version));
    }
    assert_eq!(two.store.loads.load(Ordering::Relaxed), loads, "all of them guesses");
    // But not what somebody else has written.
    two.sell(&two.other).await;
    two.changed(Some(8));
    two.current().await;
    let loads = two.store.loads.load(Ordering::Relaxed);
    two.sell(&two.mine).await;
    assert_eq!(two.store.loads.load(Ordering::Relaxed), loads + 1);
    assert_eq!(two.check_from_memory().await, 100 - 8);
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_nothing_is_guessed() {
    let two = two().await;
    two.follow().await;
    two.sell(&two.mine).await;
    let loads = two.store.loads.load(Ordering::Relaxed);
    two.sell(&two.mine).await;
    assert_eq!(two.store.loads.load(Ordering::Relaxed), loads, "a guess");
    two.sell(&two.other).await;
    two.tell(ProductChange::Gap);
    until(|| two.mine.view().is_empty()).await;
    two.sell(&two.mine).await;
    two.current().await;
    until(|| two.mine.view().len() == 1).await;
    assert_eq!(two.check_from_memory().await, 96, "nobody told of the sale but by the gap");
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_freshness() {
    let two = two().await;
    two.follow().await;
    // By the clock, whoever looks at it.
    two.clock.advance(Duration::from_secs(4));
    assert_eq!(two.check_from_store().await, 100);
    two.current().await;
    assert_eq!(two.check_from_memory().await, 100);
    // By what has passed, though the clock stands still; and changes alone do not tell how far it is.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        two.changed(Some(1));
    }
    until(|| !two.mine.figures().view_fresh).await;
    assert_eq!(two.check_from_store().await, 100);
    // Nothing was lost: what it holds is still true.
    two.current().await;
    assert_eq!(two.check_from_memory().await, 100);
    assert_eq!(two.mine.figures().view_gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_read_is_read_by_the_next_check() {
    let two = two().await;
    two.follow().await;
    two.sell(&two.other).await;
    two.store.failing_loads.store(1, Ordering::Relaxed);
    two.changed(Some(2));
    two.current().await;
    assert_eq!(two.store.failing_loads.load(Ordering::Relaxed), 0);
    assert!(two.mine.view().is_empty());
    assert_eq!(two.check_from_store().await, 99);
    assert_eq!(two.check_from_memory().await, 99);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_tells_nothing_is_answered_for_as_of_now() {
    let two = two().await;
    two.clock.advance(Duration::from_secs(60));
    let check = two.other.check(&[line(two.product, 1)]).await.unwrap();
    assert_eq!(check.as_of, two.clock.now());
    assert!(two.other.figures().view_fresh);
    assert_eq!(two.other.figures().view_misses, 0);
}
