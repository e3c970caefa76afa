//! The project's own tasks. `cargo xtask test` runs everything that must hold; `cargo xtask --help` lists the rest.
//!
//! A library as well, for the tests that kill database servers: [`servers`] starts real ones.

mod python;
mod run;
mod schemathesis;
mod server;
pub mod servers;
mod test;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need and is missing, start the servers that they ask for, then run all tests.
    Test(test::Options),
    /// Only the servers of the tests: prints what to export, and keeps them until Ctrl-C.
    Servers,
    /// Separate servers over PostgreSQL and MongoDB, killed and stopped under load; then the sums are checked.
    Torture(torture::Options),
    /// Only the check of the running services against their OpenAPI documents.
    Schemathesis,
    /// The names of the runnable examples, one a line.
    Examples,
}

/// Runs the task that the arguments name.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Servers => servers::keep(),
        Task::Torture(options) => torture::run(&options),
        Task::Schemathesis => schemathesis::run(),
        Task::Examples => examples(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Lists `examples/*.rs`.
fn examples() -> run::Result {
    let folder = run::root().join("examples");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().file_name()?.to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    names.iter().for_each(|name| println!("{name}"));
    Ok(())
}
