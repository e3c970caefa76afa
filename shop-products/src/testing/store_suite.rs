use std::sync::Arc;

use async_trait::async_trait;

use crate::ProductStore;

/// Gives the suite stores to try.
#[async_trait]
pub trait ProductStoreFactory: Send + Sync {
    /// Keeps what a store needs alive (a folder, a database), and removes it when dropped.
    type Guard: Send + Sync;

    /// An empty store that no other test uses.
    async fn fresh(&self) -> (Self::Guard, Arc<dyn ProductStore>);

    /// Another instance over the data of a store that [`fresh`](Self::fresh) gave, as another process would open it.
    async fn reopen(&self, guard: &Self::Guard) -> Arc<dyn ProductStore>;
}

/// Makes one `#[tokio::test]` a check of the [`ProductStore`](crate::ProductStore) contract, on the stores of a
/// [`ProductStoreFactory`](crate::testing::ProductStoreFactory).
#[macro_export]
macro_rules! product_store_suite {
    ($factory:expr) => {
        $crate::product_store_suite!(@each $factory;
            every_row_comes_back_as_it_was_written,
            a_broken_expectation_writes_nothing,
            changes_of_stock_add_up,
            skus_are_unique_among_live_products,
            skus_may_be_swapped_in_one_commit,
            what_was_committed_is_seen_by_every_instance,
            what_was_committed_survives_reopening,
            what_others_commit_is_told,
            a_dropped_commit_is_whole_or_nothing,
            a_load_brings_what_reservations_need,
            expired_reservations_are_found_by_the_stores_clock,
            every_order_is_paged_through_once,
            rows_that_come_while_paging_shift_no_other,
            filters_narrow_down_together,
            words_are_found,
            what_thousands_match_is_listed_as_what_few_do,
            reservations_are_listed_oldest_first,
            adjustments_are_listed_newest_first,
            a_purge_takes_only_what_ended_before,
            prices_are_exact_in_their_currency,
            a_hold_counts_what_others_hold,
            lines_of_one_product_are_summed,
            every_short_and_every_unknown_line_is_told,
            opposite_line_order_does_not_lock_up,
            one_unit_and_a_thousand_buyers,
            two_instances_never_oversell,
            the_same_hold_again_is_the_same_reservation,
            settling_twice_late_or_out_of_order_changes_nothing_more,
            a_release_before_the_hold_refuses_it,
            an_expired_hold_gives_its_units_back,
            a_deleted_product_keeps_what_is_allocated,
            a_key_is_done_once,
            a_stale_version_is_refused,
            stock_that_moves_stands_in_no_edits_way,
            adjustments_never_go_below_what_is_allocated,
            an_import_says_what_became_of_each_row,
            a_caller_that_goes_away_loses_only_the_answer,
            a_check_shows_what_was_written_last,
        );
    };
    (@each $factory:expr; $($check:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::testing::checks::$check(&$factory).await;
            }
        )*
    };
}
