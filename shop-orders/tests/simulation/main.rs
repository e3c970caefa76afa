//! The real services in a world where everything goes wrong, again and again, from a seed.
//!
//! Two orders services and two products services over shared stores; between them, and before their clients, a network that
//! loses, delays, repeats and cuts off; stores that fail and do not say whether they wrote; services that are killed between
//! any two steps and started again; clocks that jump. All of it in one thread on a paused clock, with every bit of chance
//! from the seed, so that a run can be repeated:
//!
//! ```text
//! SHOP_SIM_SEED=42 cargo test -p shop-orders --test simulation replay -- --nocapture
//! ```
//!
//! `SHOP_SIM_SEEDS` (1,000) says how many seeds are run, `SHOP_SIM_FIRST` (0) where they begin. Not in the picture: HTTP and
//! its client, the gateway, real databases, and the purging of old rows; all but the databases are in the simulation of
//! `bins/shop`, which shares the files that know what must hold.
#![allow(clippy::unwrap_used)]

mod bad_line;
mod book;
mod buyer;
mod chaos;
mod host;
mod life;
mod network;
mod orders_store;
mod products_store;
mod run;
mod seeds;
mod stocktaking;
mod world;

use seeds::{all_are_right, is_found, is_repeatable, show};
use world::Broken;

#[test]
fn whatever_goes_wrong_every_order_has_its_stock_once() {
    all_are_right(1_000, "cargo test -p shop-orders --test simulation replay -- --nocapture");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    (0..10).for_each(is_repeatable);
}

/// Runs `SHOP_SIM_SEED` and shows its trace.
#[test]
fn replay() {
    show();
}

/// How many seeds may pass before a broken part is found.
const PATIENCE: u64 = 100;

#[test]
fn holds_that_end_by_themselves_are_found() {
    is_found(Broken::HoldsEndByThemselves, PATIENCE);
}

#[test]
fn lost_settlements_are_found() {
    is_found(Broken::LosesSettlements, PATIENCE);
}

#[test]
fn blind_decisions_are_found() {
    // Few worlds have a decision that is slower than recovery.
    is_found(Broken::DecidesBlindly, 20 * PATIENCE);
}

#[test]
fn stock_that_is_given_back_twice_is_found() {
    is_found(Broken::GivesBackTwice, PATIENCE);
}

#[test]
fn an_acknowledged_order_that_is_lost_is_found() {
    is_found(Broken::LosesOrders, PATIENCE);
}
