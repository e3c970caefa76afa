//! A `shop up` of its own for a task: on free ports, in a folder of its own, ended with the task.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::run::{Result, cargo, run, target_dir};

/// A running shop; killed when dropped.
pub(crate) struct Shop {
    process: Child,
    data: PathBuf,
    /// `http://host:port` of the orders service.
    pub(crate) orders: String,
    /// `http://host:port` of the products service.
    pub(crate) products: String,
}

impl Shop {
    /// Builds and starts the shop and waits for its line.
    pub(crate) fn start(name: &str) -> Result<Self> {
        run(&mut cargo(&["build", "--quiet", "--package", "shop"]))?;
        let data = target_dir().join("xtask").join(name);
        // A leftover of a run that was killed; that it is not there is the usual case.
        let _ = std::fs::remove_dir_all(&data);
        let mut process = Command::new(target_dir().join("debug/shop"))
            .args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--orders-listen", "127.0.0.1:0", "--products-listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("shop up: {error}"))?;
        let out = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(out).lines();
        let ready = lines
            .by_ref()
            .map_while(std::result::Result::ok)
            .find(|line| line.starts_with("shop is ready"))
            .ok_or("shop up ended before it was ready")?;
        // Drained for as long as it runs: a full pipe would stop the server.
        std::thread::spawn(move || lines.map_while(std::result::Result::ok).for_each(drop));
        let address = |part: &str| {
            ready
                .split_whitespace()
                .find_map(|word| word.strip_prefix(part))
                .map(str::to_owned)
                .ok_or_else(|| format!("no {part} in {ready:?}"))
        };
        Ok(Self { orders: address("orders=")?, products: address("products=")?, process, data })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Nothing to do about either: the process is ours, and the folder is in the target folder.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
