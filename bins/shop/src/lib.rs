//! The shop's processes: one typed configuration, the servers made from it, and the operator's commands.
//!
//! The binaries are thin over this: arguments → configuration, validated with nothing bound → log → servers → serve → drain →
//! exit code.

pub mod cli;
pub mod config;
pub mod retail;
pub mod servers;

use std::process::ExitCode;

use shop_core::config::Loader;
use shop_core::http::CancellationToken;
use shop_core::process::{self, EXIT_CONFIG, Failure};

use config::ShopConfig;

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

/// What every server's `main` does with its configuration: check it with nothing bound, then log, serve, drain. `in_process` are
/// the gateway's upstreams that the process has in itself.
pub fn serve<S>(name: &'static str, in_process: &[&str], check: bool, loader: Loader, server: S) -> ExitCode
where
    S: AsyncFnOnce(&ShopConfig, &str, CancellationToken) -> Result<(), Failure>,
{
    let loaded = match config::load(loader, in_process) {
        Ok(loaded) => loaded,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            return ExitCode::from(failure.code());
        }
    };
    if check {
        println!("{name}: the configuration is good");
        return ExitCode::SUCCESS;
    }
    let config = loaded.value;
    process::run(name, 0, async |shutdown| {
        let _log = shop_core::log::init(&config.log, name, env!("CARGO_PKG_VERSION"))
            .map_err(|error| Failure::fault(&error))?;
        process::on_hangup(async || {
            tracing::warn!(
                "SIGHUP: this version reads its configuration at start only; restart to change it"
            );
        })
        .map_err(|error| Failure::fault(&error))?;
        server(&config, "files, environment and flags", shutdown).await?;
        tracing::info!("stopped");
        Ok(())
    })
}
