//! The conformance suite of [`OrderStore`], for every adapter, yours included.
//!
//! A factory gives fresh stores; [`order_store_suite!`](crate::order_store_suite) makes one `#[tokio::test]` a check: every
//! line of the port's contract, then whole flows of the service over it, with crashes, lost answers and races. The flows
//! that are named `row_…` are the rows of the protocol's table of what can go wrong; they depend on the products as well,
//! and [`ordering_suite!`](crate::ordering_suite) is these alone, for a factory that makes both. [`broken`] has stores with
//! one fault each, to see that a check can fail.
//!
//! ```
//! use std::sync::Arc;
//! use shop_core::Clock;
//! use shop_orders::store::memory::MemoryOrderStore;
//! use shop_orders::testing::{FreshStore, OrderStoreFactory};
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl OrderStoreFactory for Memory {
//!     async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
//!         let store = MemoryOrderStore::with_clock(clock);
//!         FreshStore { other: Arc::new(store.clone()), store: Arc::new(store), guard: Box::new(()) }
//!     }
//! }
//!
//! shop_orders::order_store_suite!(Memory);
//! ```

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use shop_core::Clock;
use shop_products::ProductStore;
use shop_products::store::memory::MemoryProductStore;

use crate::OrderStore;

pub mod broken;
pub mod catalog;
pub mod checks;
mod crashing;
pub(crate) mod sample;
mod shop;

/// Makes stores for the suite.
#[async_trait]
pub trait OrderStoreFactory: Send + Sync {
    /// A new, empty store whose clock is this one.
    async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore;

    /// What the flows order of, with this clock: products in memory, if the factory has no other to try.
    async fn products(&self, clock: Arc<dyn Clock>) -> FreshProducts {
        let store = MemoryProductStore::with_clock(clock);
        FreshProducts { other: Arc::new(store.clone()), store: Arc::new(store), guard: Box::new(()) }
    }
}

/// An empty store, and what keeps it.
pub struct Fresh<S: ?Sized> {
    /// The store.
    pub store: Arc<S>,
    /// Another instance over the same data, as another process would have it.
    pub other: Arc<S>,
    /// Dropped when the check is over: a folder, a database, a server.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// An empty store of orders.
pub type FreshStore = Fresh<dyn OrderStore>;

/// An empty store of products.
pub type FreshProducts = Fresh<dyn ProductStore>;

impl<S: ?Sized + std::fmt::Debug> std::fmt::Debug for Fresh<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("store", &self.store).finish_non_exhaustive()
    }
}

/// One `#[tokio::test]` a check of the suite, with the rows of [`ordering_suite!`](crate::ordering_suite), on stores of this
/// factory. The crate that calls it needs tokio with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! order_store_suite {
    ($factory:expr) => {
        $crate::order_store_suite!(@checks $factory, [
            a_fresh_store_is_empty, what_was_committed_is_there, odd_texts_come_back_as_they_were,
            an_order_is_created_once, an_edit_expects_its_version, a_reservation_is_decided_once,
            a_key_places_once, a_key_has_one_record, a_change_set_is_atomic, numbers_follow_each_other,
            a_batch_may_be_large, events_keep_their_order_and_their_state, events_are_paged,
            settlements_are_claimed_oldest_first_and_once, a_lease_ends, settlements_are_closed_once,
            lists_narrow_down, lists_go_both_ways, a_page_tells_whether_there_is_more,
            rows_inserted_meanwhile_shift_nothing, a_deleted_order_is_loaded_but_not_listed,
            old_records_are_purged_with_their_keys, old_expired_decisions_are_purged, of_many_writers_one_wins,
            a_dropped_commit_leaves_the_store_usable, ping_answers, flows_are_bounded,
            a_refused_settlement_holds_up_no_other, edits_and_deletions_survive_lost_calls_and_crashes,
            two_instances_place_without_end_of_races, a_caller_that_goes_away_drops_only_the_answer,
            a_key_in_flight_is_refused, a_key_of_something_else_is_refused, a_refusal_leaves_no_record,
            a_refusal_after_the_hold_takes_nothing, a_forgotten_key_places_anew, every_fault_of_the_content_is_told,
            an_edit_takes_and_gives_the_difference, a_refused_edit_changes_nothing,
            an_edit_knows_a_product_by_its_new_sku,
            a_renamed_product_that_does_not_grow_needs_no_stock, a_details_edit_merges, a_shrunk_order_ships_what_it_has,
            recovery_ships_no_more_than_the_order_has, only_legal_moves_are_made, deleting_cancels_and_hides,
            the_log_has_every_change_in_order, lists_hold_still_while_orders_are_placed,
            the_workers_settle_and_recover_by_themselves, shutdown_sends_what_is_open,
            the_doctor_explains_what_is_not_settled,
        ]);
        $crate::ordering_suite!($factory);
    };
    (@checks $factory:expr, [$($check:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::testing::checks::$check(&$factory).await;
            }
        )*
    };
}

/// One or more `#[tokio::test]`s for each row of the protocol's table of what can go wrong, on the stores of orders and of
/// products that this factory makes. What befalls the database servers themselves (rows 19, 20 and 22) is no part of it.
#[macro_export]
macro_rules! ordering_suite {
    ($factory:expr) => {
        $crate::order_store_suite!(@checks $factory, [
            row_01_a_crash_before_the_hold_leaves_nothing, row_02_a_lost_hold_is_asked_again,
            row_03_products_that_crash_inside_the_hold_took_all_of_it_or_nothing,
            row_04_two_instances_with_one_key_place_one_order, row_05_a_crash_after_the_hold_is_recovered,
            row_06_a_slow_decision_after_recovery_is_not_placed, row_07_an_unknown_commit_is_read_again,
            row_08_a_repeated_key_gets_the_stored_answer, row_09_settlements_may_be_lost_repeated_and_late,
            row_10_a_late_hold_after_release_takes_nothing, row_10_a_late_hold_of_a_shipped_order_is_given_back,
            row_11_cancel_and_ship_have_one_winner, row_11_edit_and_cancel_leave_the_sums_right,
            row_12_unreachable_products_leave_nothing,
            row_12_products_known_to_be_out_of_reach_are_not_asked_again,
            row_13_a_store_that_does_not_answer_is_waited_for_until_the_deadline,
            row_13_holds_stay_while_the_orders_are_out_of_reach, row_14_an_archived_product_stays_in_its_orders,
            row_15_on_hand_does_not_fall_below_what_is_allocated, row_16_lines_of_one_product_are_summed,
            row_17_opposite_line_orders_all_end, row_17_five_hot_products_serve_sixty_four_clients,
            row_18_a_thousand_buyers_of_one_unit, row_21_a_clock_that_jumps_decides_nothing,
        ]);
    };
}
