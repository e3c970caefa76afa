//! The stores pass the published suite, and the suite catches every broken one.
#![cfg(feature = "testing")]

use std::sync::Arc;

use async_trait::async_trait;
use shop_core::Clock;
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::testing::broken::{Breakage, BrokenFactory};
use shop_orders::testing::{FreshProducts, FreshStore, OrderStoreFactory, checks};
use shop_products::testing::ProductStoreFactory;
use shop_products::testing::broken::{BrokenFactory as BrokenProductFactory, Fault};

#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod ordering;

struct Memory;

#[async_trait]
impl OrderStoreFactory for Memory {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
        let store = MemoryOrderStore::with_clock(clock);
        FreshStore { other: Arc::new(store.clone()), store: Arc::new(store), guard: Box::new(()) }
    }
}

mod memory {
    shop_orders::order_store_suite!(super::Memory);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use shop_core::sqlite::SqliteConfig;
    use shop_orders::store::sqlite::SqliteOrderStore;

    pub(super) struct Sqlite;

    #[async_trait]
    impl OrderStoreFactory for Sqlite {
        async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("orders.db");
            let path = path.to_str().expect("UTF-8");
            let open = || SqliteOrderStore::connect_with(path, SqliteConfig::default(), clock.clone());
            // Two instances as two processes have them: each its own connections to the file.
            let store = open().await.expect("open");
            let other = open().await.expect("open once more");
            FreshStore { store: Arc::new(store), other: Arc::new(other), guard: Box::new(folder) }
        }
    }

    shop_orders::order_store_suite!(Sqlite);
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use shop_core::postgres::{PgConfig, TestDatabase};
    use shop_orders::store::postgres::PgOrderStore;

    pub(super) struct Postgres;

    #[async_trait]
    impl OrderStoreFactory for Postgres {
        async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
            let database = TestDatabase::create().await;
            // Many checks run at once, and a server has only so many connections.
            let config = || PgConfig { connections: 4, ..PgConfig::default() };
            let url = database.url();
            let open = || async {
                let store = PgOrderStore::connect_with(&url, config()).await;
                store.expect("connect").with_clock(clock.clone())
            };
            // Two instances as two machines have them: each its own pool.
            let (store, other) = (open().await, open().await);
            FreshStore { store: Arc::new(store), other: Arc::new(other), guard: Box::new(database) }
        }
    }

    shop_orders::order_store_suite!(Postgres);
}

/// Runs a check on a broken store in a task of its own, where its panic is the proof that it can fail.
async fn must_panic(check: impl Future<Output = ()> + 'static) {
    let local = tokio::task::LocalSet::new();
    let ended = local.run_until(async { tokio::task::spawn_local(check).await }).await;
    assert!(ended.is_err_and(|fault| fault.is_panic()), "the check must catch the broken store");
}

macro_rules! caught {
    ($($test:ident: $breakage:ident by $check:ident;)*) => {
        mod broken {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    must_panic(async { checks::$check(&BrokenFactory(Breakage::$breakage)).await }).await;
                }
            )*
        }
    };
}

caught! {
    keys_place_twice: KeysPlaceTwice by a_key_places_once;
    keys_place_two_orders: KeysPlaceTwice by a_change_set_is_atomic;
    decides_blindly: DecidesBlindly by a_reservation_is_decided_once;
    ignores_versions: IgnoresVersions by an_edit_expects_its_version;
    ignores_versions_in_a_race: IgnoresVersions by of_many_writers_one_wins;
    creates_again: CreatesAgain by an_order_is_created_once;
    loses_settlements: LosesSettlements by what_was_committed_is_there;
    loses_settlements_in_a_flow: LosesSettlements by row_09_settlements_may_be_lost_repeated_and_late;
    loses_settlements_of_hot_products: LosesSettlements by row_17_five_hot_products_serve_sixty_four_clients;
    loses_what_products_took_before_they_crashed: LosesSettlements by row_03_products_that_crash_inside_the_hold_took_all_of_it_or_nothing;
    decides_blindly_after_a_jump: DecidesBlindly by row_21_a_clock_that_jumps_decides_nothing;
    not_atomic: NotAtomic by a_change_set_is_atomic;
    reverses_events: ReversesEvents by events_keep_their_order_and_their_state;
    events_show_the_latest: EventsShowTheLatest by events_keep_their_order_and_their_state;
    forgets_records: ForgetsRecords by a_key_has_one_record;
    forgets_records_in_a_flow: ForgetsRecords by row_08_a_repeated_key_gets_the_stored_answer;
    forgets_who_was_slow: ForgetsRecords by row_01_a_crash_before_the_hold_leaves_nothing;
    claims_twice: ClaimsTwice by settlements_are_claimed_oldest_first_and_once;
    leases_no_time: ClaimsTwice by a_lease_ends;
    closes_nothing: ClosesNothing by settlements_are_closed_once;
    ignores_filters: IgnoresFilters by lists_narrow_down;
    pages_by_offset: PagesByOffset by rows_inserted_meanwhile_shift_nothing;
    reads_no_row_more: ReadsNoRowMore by a_page_tells_whether_there_is_more;
    repeats_numbers: RepeatsNumbers by numbers_follow_each_other;
    purges_nothing: PurgesNothing by old_records_are_purged_with_their_keys;
    purges_no_decisions: PurgesNothing by old_expired_decisions_are_purged;
    cleans_texts: CleansTexts by odd_texts_come_back_as_they_were;
    the_other_instance_is_blind: OtherInstanceIsBlind by what_was_committed_is_there;
}

/// Sound orders of products in a store with a fault.
struct BrokenProducts(Fault);

#[async_trait]
impl OrderStoreFactory for BrokenProducts {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
        Memory.fresh(clock).await
    }

    async fn products(&self, _: Arc<dyn Clock>) -> FreshProducts {
        let factory = BrokenProductFactory(self.0);
        let (guard, store) = factory.fresh().await;
        FreshProducts { store, other: factory.reopen(&guard).await, guard: Box::new(guard) }
    }
}

#[tokio::test]
async fn holds_that_a_crash_cuts_in_two_are_caught() {
    for fault in [Fault::StopsWhenDropped, Fault::WritesInParts] {
        must_panic(async move {
            checks::row_03_products_that_crash_inside_the_hold_took_all_of_it_or_nothing(&BrokenProducts(
                fault,
            ))
            .await;
        })
        .await;
    }
}
