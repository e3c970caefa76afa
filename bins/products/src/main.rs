//! `shop-products`: catalogue, stock and reservations as a server of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use shop::config::CommonFlags;

/// Catalogue, stock and reservations.
#[derive(Parser)]
#[command(name = "shop-products", version)]
struct Flags {
    /// Where the API is.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the data is: memory:, sqlite:PATH, mongodb://… or postgres://….
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    common: CommonFlags,
}

fn main() -> ExitCode {
    let flags = match shop::parse(Flags::try_parse()) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let loader = flags.common.loader("").flag("--listen", "products.listen", flags.listen).flag(
        "--store",
        "products.store",
        flags.store,
    );
    shop::serve("products", &[], flags.common.check, loader, shop::servers::products)
}
