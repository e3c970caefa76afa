//! All of the shop in a network where everything goes wrong, from a seed.
//!
//! Two gateways, two orders services and two products services, each a host of its own in a simulated network (turmoil), as
//! their servers run them: the HTTP stacks and what serves a connection, the REST client between orders and products, the
//! gateway's pools of connections. Messages are slow, links are cut, one way or both, or hold everything back for a while and
//! then deliver it; hosts are killed at any step and started again over the stores that they share; stores fail and do not
//! say whether they wrote; clocks jump. Clients place, edit, cancel, ship and delete orders and adjust stock, by way of either
//! gateway, and ask again when nobody answers. Somebody repeats what orders once asked of products, long after. Then there is
//! calm, and everything must be right; then a week passes, what is old is forgotten, all holds come once more, and everything
//! must still be right. One thread, a paused clock, and every bit of chance from the seed:
//!
//! ```text
//! SHOP_SIM_SEED=42 cargo test -p shop --test simulation replay -- --nocapture
//! ```
//!
//! `SHOP_SIM_SEEDS` (40) says how many seeds are run, `SHOP_SIM_FIRST` (0) where they begin. What knows the stores, and what
//! must hold of them, is shared with the simulation of `shop-orders`, where there is no network, and so many more seeds. Not
//! in the picture: real databases, and more than one thread.
#![allow(clippy::unwrap_used)]

#[path = "../../../../shop-orders/tests/simulation/bad_line.rs"]
mod bad_line;
#[path = "../../../../shop-orders/tests/simulation/book.rs"]
mod book;
#[allow(dead_code, reason = "each simulation uses its own part")]
#[path = "../../../../shop-orders/tests/simulation/life.rs"]
mod life;
#[path = "../../../../shop-orders/tests/simulation/orders_store.rs"]
mod orders_store;
#[path = "../../../../shop-orders/tests/simulation/products_store.rs"]
mod products_store;
#[path = "../../../../shop-orders/tests/simulation/seeds.rs"]
mod seeds;
#[path = "../../../../shop-orders/tests/simulation/stocktaking.rs"]
mod stocktaking;
#[allow(dead_code, reason = "each simulation uses its own part")]
#[path = "../../../../shop-orders/tests/simulation/world.rs"]
mod world;

mod bad_catalog;
mod buyer;
mod chaos;
mod clerk;
mod client;
mod echo;
mod hosts;
mod line;
mod run;

use seeds::{all_are_right, is_found, is_repeatable, show};
use world::Broken;

#[test]
fn whatever_goes_wrong_on_the_network_every_order_has_its_stock_once() {
    all_are_right(40, "cargo test -p shop --test simulation replay -- --nocapture");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    (0..4).for_each(is_repeatable);
}

/// Runs `SHOP_SIM_SEED` and shows its trace.
#[test]
fn replay() {
    show();
}

/// How many seeds may pass before a broken part is found.
const PATIENCE: u64 = 60;

#[test]
fn a_gateway_that_asks_twice_is_found() {
    is_found(Broken::AsksTwice, PATIENCE);
}

#[test]
fn silence_that_is_taken_for_no_is_found() {
    is_found(Broken::TakesSilenceForNo, PATIENCE);
}

#[test]
fn silence_that_is_taken_for_yes_is_found() {
    is_found(Broken::TakesSilenceForYes, PATIENCE);
}

#[test]
fn recovery_that_releases_first_is_found() {
    is_found(Broken::ReleasesFirst, PATIENCE);
}
