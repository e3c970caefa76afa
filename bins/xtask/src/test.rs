//! `cargo xtask test`: everything that must hold, on a machine that has only Rust and a C compiler.

use std::process::Command;

use clap::Args;

use crate::python::apt_install;
use crate::run::{Result, cargo, succeeds};
use crate::schemathesis;
use crate::servers::Servers;

/// What to leave out.
#[derive(Args)]
pub(crate) struct Options {
    /// Only Rust's own tests: no check of the running services by schemathesis.
    #[arg(long)]
    rust_only: bool,
}

/// Runs all tests; the first part that fails ends it.
pub(crate) fn run(options: &Options) -> Result {
    // The README's walk is run as it stands there.
    if !succeeds(Command::new("curl").arg("--version")) {
        apt_install(&["curl"])?;
    }
    // etcd's client makes its messages of their definitions when it is built.
    if !succeeds(Command::new("protoc").arg("--version")) {
        apt_install(&["protobuf-compiler", "libprotobuf-dev"])?;
    }
    // Also when the tests fail, they end with this.
    let servers = Servers::start()?;
    let mut tests = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
    crate::run::run(tests.envs(servers.exports().iter().map(|(name, value)| (name, value))))?;
    drop(servers);
    if options.rust_only {
        eprintln!(
            "xtask: the running services were not checked against their OpenAPI documents (--rust-only)"
        );
        return Ok(());
    }
    schemathesis::run()
}
