//! `shop`: the whole shop in one process, and the operator's tool.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shop::cli::{Check, Doctor, Export, Import, OrderCommand, Outcome};
use shop::servers::{self, Up, up};

/// Products, orders and a gateway that never oversell and never lose an order.
#[derive(Parser)]
#[command(name = "shop", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run products, orders and the gateway in one process.
    Up(Box<Up>),
    /// Create or update products from a file, by SKU.
    Import(Box<Import>),
    /// Write all products, in the format that import reads.
    Export(Export),
    /// Whether there is enough of each product, now.
    Check(Check),
    /// Place, show and move orders.
    Order(OrderCommand),
    /// What is in doubt, and what happens next.
    Doctor(Doctor),
    /// Show and change the configuration, with what is common in etcd.
    #[cfg(feature = "etcd")]
    Config(shop::cli::Config),
}

fn main() -> ExitCode {
    match shop::parse(Cli::try_parse()) {
        Err(code) => code,
        Ok(cli) => match cli.command {
            Command::Up(up_flags) => {
                let check = up_flags.common.check;
                shop::serve("shop", servers::IN_PROCESS, check, up_flags.loader(), up)
            }
            Command::Import(command) => tool(command.run()),
            Command::Export(command) => tool(command.run()),
            Command::Check(command) => tool(command.run()),
            Command::Order(command) => tool(command.run()),
            Command::Doctor(command) => tool(command.run()),
            #[cfg(feature = "etcd")]
            Command::Config(command) => tool(command.run()),
        },
    }
}

/// Runs an operator's command: 0 if all of it was done, 1 if not.
fn tool(command: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("shop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(command);
    // A read of stdin cannot be cancelled and must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("shop: {failure}");
            ExitCode::FAILURE
        }
    }
}
