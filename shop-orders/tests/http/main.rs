//! The orders half of the HTTP contract over real sockets, on every embedded store, with a real products service.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod change;
mod disconnect;
mod docs;
mod failure;
mod feed;
mod gate;
mod keys;
mod lifecycle;
mod operator;
mod place;
mod read;
mod support;
