//! Events to Logstash, against strict and faulty receivers.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod acknowledged;
mod best_effort;
mod http;
mod lines;
mod lumberjack;
mod node_logstash;
mod overflow;
mod receiver;
mod sender;
mod settings;
