//! The processes as an operator has them: flags and exit codes, signals, separate servers, logs, and the tools.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[cfg(feature = "etcd")]
mod common;
#[cfg(all(feature = "mongodb", feature = "postgres"))]
mod databases;
mod faults;
mod flags;
mod limits;
mod logs;
mod readme;
mod reconcile;
mod reload;
mod separate;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod tools;
