//! Common configuration in a real etcd: started from, watched, killed, wiped, restored, and asked for a password.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod auth;
mod edit;
mod random;
mod start;
mod support;
mod watch;
