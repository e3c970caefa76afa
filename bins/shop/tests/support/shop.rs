//! `shop up`, ready to be asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::client::Client;
use super::process::{self, Ended, Process};

/// A running `shop up`.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) process: Process,
    pub(crate) gateway: String,
    pub(crate) orders: String,
    pub(crate) products: String,
    pub(crate) admin: String,
    /// Kept for as long as the process runs.
    dir: Option<TempDir>,
}

impl Shop {
    /// In a folder of its own, with this in the environment.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut shop = Self::start_in(&dir.path().join("data"), variables);
        shop.dir = Some(dir);
        shop
    }

    /// On this data folder.
    pub(crate) fn start_in(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_with(data, &[], variables)
    }

    /// On this data folder, with these arguments more.
    pub(crate) fn start_with(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut process = Process::spawn(up(data).args(arguments).envs(variables.iter().copied()));
        let ready = process.until("ready", |out| {
            Some(out.lines().find(|line| line.starts_with("shop is ready: "))?.to_owned())
        });
        let address = |name: &str| address_in(&ready, name);
        let (gateway, orders) = (address("gateway"), address("orders"));
        Self { process, gateway, orders, products: address("products"), admin: address("admin"), dir: None }
    }

    /// A client that goes through the gateway.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.gateway, &self.gateway)
    }

    /// A client that asks the services themselves.
    pub(crate) fn direct(&self) -> Client {
        Client::new(&self.orders, &self.products)
    }

    /// A client of the admin address.
    pub(crate) fn operator(&self) -> Client {
        Client::new(&self.admin, &self.admin)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.as_ref().unwrap().path().join("data")
    }

    /// SIGTERM, its end, and the folder that it leaves.
    pub(crate) fn stop(self) -> (Ended, Option<TempDir>) {
        (self.process.stop(), self.dir)
    }

    /// Its end, which something else brought about, and the folder that it leaves.
    pub(crate) fn stopped(self) -> (Ended, Option<TempDir>) {
        (self.process.ended(), self.dir)
    }

    /// A command of the operator against this shop.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Ended {
        let mut command = process::shop();
        command.args(arguments).envs([
            ("SHOP_URL", &self.gateway),
            ("SHOP_PRODUCTS_URL", &self.products),
            ("SHOP_ADMIN_URL", &self.admin),
        ]);
        Process::run(&mut command)
    }
}

/// `shop up` on free ports.
pub(crate) fn up(data: &Path) -> Command {
    let mut command = process::shop();
    command.args(["up", "--data"]).arg(data);
    for flag in ["--listen", "--orders-listen", "--products-listen", "--admin-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command
}

/// The address that a ready line gives for a name.
pub(crate) fn address_in(ready: &str, name: &str) -> String {
    let found = ready.split(['"', ' ']).find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {ready}")).to_owned()
}
