//! `shop-orders`: orders as a server of its own, which asks products over REST.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use shop::config::CommonFlags;

/// Orders, placed if and only if their stock is taken.
#[derive(Parser)]
#[command(name = "shop-orders", version)]
struct Flags {
    /// Where the API is.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the data is: memory:, sqlite:PATH or postgres://….
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Where the products service is.
    #[arg(long, value_name = "URL")]
    products_url: Option<String>,
    #[command(flatten)]
    common: CommonFlags,
}

fn main() -> ExitCode {
    let flags = match shop::parse(Flags::try_parse()) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let loader = flags
        .common
        .loader("")
        .flag("--listen", "orders.listen", flags.listen)
        .flag("--store", "orders.store", flags.store)
        .flag("--products-url", "orders.products_url", flags.products_url);
    shop::serve("orders", &[], flags.common.check, loader, shop::servers::orders)
}
