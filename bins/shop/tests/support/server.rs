//! `shop-orders`, `shop-products` or `shop-gateway`, ready to be asked.

use super::client::Client;
use super::process::{self, Process};
use super::shop::address_in;

/// A server of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
    pub(crate) admin: String,
}

impl Server {
    /// Starts `shop-NAME` there, with these arguments more, and waits until it is ready. Orders are placed in a second or not.
    pub(crate) fn start(name: &str, arguments: &[&str], listen: &str) -> Self {
        Self::start_with(name, arguments, listen, &[("SHOP__ORDERS__PLACE_DEADLINE", "1s")])
    }

    /// The same with this in its environment.
    pub(crate) fn start_with(
        name: &str,
        arguments: &[&str],
        listen: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = process::server(&format!("shop-{name}"));
        command.args(["--listen", listen, "--admin-listen", "127.0.0.1:0"]).args(arguments);
        let mut process = Process::spawn(command.envs(variables.iter().copied()));
        let ready = process.until("ready", |out| {
            out.lines().find(|line| line.contains("ready: ") && line.ends_with('}')).map(str::to_owned)
        });
        Self { process, address: address_in(&ready, name), admin: address_in(&ready, "admin") }
    }

    /// Its `host:port`.
    pub(crate) fn port(&self) -> &str {
        self.address.strip_prefix("http://").unwrap()
    }

    /// A client of its admin address.
    pub(crate) fn operator(&self) -> Client {
        Client::new(&self.admin, &self.admin)
    }
}
