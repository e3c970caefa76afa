//! The HTTP contract, path by path, over real HTTP: with stores in memory, on SQLite and on
//! database servers, through the gateway and without it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bad_input;
mod catalogue;
mod configured;
mod idempotency;
mod orders;
mod reservations;
mod settings;
mod stock;
#[path = "../support/mod.rs"]
mod support;
mod transfer;
mod wire;
