//! `cargo xtask torture`: the test of that name, for as long and on the seed that is wanted.

use clap::Args;

use crate::run::{Result, cargo};
use crate::servers;

/// The same test that `cargo xtask test` runs for a short while.
const TEST: &str = "servers_and_databases_that_are_killed_and_stopped_keep_what_was_acknowledged";

/// How long and which schedule.
#[derive(Args)]
pub(crate) struct Options {
    /// How long the servers are killed and stopped.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The schedule; the same seed draws the same one.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A debug build.
    #[arg(long)]
    debug: bool,
}

/// Builds everything as it is shipped and runs it.
pub(crate) fn run(options: &Options) -> Result {
    let release: &[&str] = if options.debug { &[] } else { &["--release"] };
    let mut command = cargo(&["test", "--package", "shop", "--features", "full", "--test", "torture"]);
    command.args(release).args(["--", "--nocapture", "--exact", TEST]);
    command
        .env("SHOP_TORTURE_SECONDS", options.seconds.to_string())
        .env("SHOP_TORTURE_SEED", options.seed.to_string())
        .env(servers::MONGOD, servers::mongod()?);
    crate::run::run(&mut command)
}
