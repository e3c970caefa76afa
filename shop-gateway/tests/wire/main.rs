//! What passes on the wire, byte by byte: each test is a case of its own, named by what it is about.
//!
//! Behind the gateway stands an upstream that takes nothing ambiguous ([`strict`]). Of every case it must have counted
//! exactly the requests whose answers the gateway passed on, and seen nothing that it must refuse: that is what makes
//! smuggling impossible, whatever the client sends. Each case is sent at once, and again byte by byte.
//!
//! The same bytes go to nginx by hand: `cargo test -p shop-gateway --test wire -- --ignored nginx` (nginx 1.22 in the
//! `PATH`) prints what it makes of each case, and fails if that is not as the tables say.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod downgrade;
mod framing;
mod fuzz;
mod harness;
mod hop_by_hop;
mod memory;
mod nginx;
mod semantics;
mod slow;
mod strict;
mod target_host;
mod upstream_answers;
