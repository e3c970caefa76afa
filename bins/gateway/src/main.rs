//! `shop-gateway`: the gateway as a server of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use shop::config::CommonFlags;

/// The gateway before orders and products.
#[derive(Parser)]
#[command(name = "shop-gateway", version)]
struct Flags {
    /// Where the gateway is.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    common: CommonFlags,
}

fn main() -> ExitCode {
    let flags = match shop::parse(Flags::try_parse()) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let loader =
        flags.common.loader("").flag("--listen", "gateway.listen", flags.listen.map(|address| [address]));
    shop::serve("gateway", &[], flags.common.check, loader, shop::servers::gateway)
}
