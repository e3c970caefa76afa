//! The processes as an operator has them: flags and exit codes, signals, separate servers, logs, and the tools.

mod flags;
mod logs;
mod readme;
mod separate;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod tools;
