//! The shop's processes: one typed configuration, the servers made from it, and the operator's commands.
//!
//! The binaries are thin over this: arguments → configuration, validated with nothing bound → log → servers → serve → drain →
//! exit code.

pub mod cli;
mod common;
pub mod config;
pub mod retail;
pub mod servers;

use std::process::ExitCode;
use std::time::Duration;

use shop_core::config::Loader;
use shop_core::http::CancellationToken;
use shop_core::process::{self, EXIT_CONFIG, Failure};

pub use common::Source;
use common::Started;
use config::ShopConfig;

/// How often the metrics are told what became of the log.
const RECORD: Duration = Duration::from_secs(5);

/// The arguments, or the exit code after help (0) or a wrong flag (64).
///
/// # Errors
/// The exit code, once clap has said why.
pub fn parse<T>(parsed: Result<T, clap::Error>) -> Result<T, ExitCode> {
    parsed.map_err(|error| {
        // Nothing to do where not even a message can be written.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::SUCCESS }
    })
}

/// What the `main` of the server `name` does with its configuration: check it with nothing bound, then log, serve, drain.
/// `in_process` are the gateway's upstreams that the process has in itself.
pub fn serve<S>(
    name: &'static str,
    in_process: &'static [&'static str],
    check: bool,
    loader: Loader,
    server: S,
) -> ExitCode
where
    S: AsyncFnOnce(&ShopConfig, &Source, CancellationToken) -> Result<(), Failure>,
{
    let started = match Started::read(loader, name, in_process) {
        Ok(started) => started,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            return ExitCode::from(failure.code());
        }
    };
    if check {
        println!("{name}: the configuration is good");
        return ExitCode::SUCCESS;
    }
    let loaded = started.config.clone();
    let config = &loaded.value;
    process::run(name, 0, async |shutdown| {
        let log = shop_core::log::init(&config.log, name, env!("CARGO_PKG_VERSION"))
            .map_err(|error| Failure::fault(&error))?;
        let source = started.follow(&log)?;
        let recorded = async {
            loop {
                log.record_metrics();
                tokio::time::sleep(RECORD).await;
            }
        };
        tokio::select! {
            served = server(config, &source, shutdown) => served?,
            () = recorded => {}
        }
        tracing::info!("stopped");
        Ok(())
    })
}
