use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::folder::Folder;
use super::free_port;
use super::process::Process;
use crate::python::apt_install;
use crate::run::{Result, succeeds};

/// An `etcd` of its own: a cluster of one member.
#[derive(Debug)]
pub struct Etcd {
    // Before the folder: it must have ended when that is removed.
    process: Process,
    folder: Folder,
    client_port: u16,
    peer_port: u16,
    token_ttl: u32,
    /// How often it was wiped: another number, another cluster.
    wiped: u32,
}

impl Etcd {
    /// Installs it if it is missing, and starts it on no data.
    ///
    /// # Errors
    /// If any of that fails, with what the server said.
    pub fn start() -> Result<Self> {
        Self::start_with_token_ttl(300)
    }

    /// As [`start`](Self::start), with tokens that expire when they are not used for this many seconds.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_token_ttl(seconds: u32) -> Result<Self> {
        if !succeeds(Command::new("etcd").arg("--version")) {
            apt_install(&["etcd-server"])?;
        }
        let (folder, client_port, peer_port) = (Folder::new("etcd")?, free_port()?, free_port()?);
        let process = launch(folder.path(), client_port, peer_port, seconds, 0)?;
        Ok(Self { process, folder, client_port, peer_port, token_ttl: seconds, wiped: 0 })
    }

    /// Where it is: `http://127.0.0.1:…`
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// To kill, stop and continue it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again after it was killed, on the same data and ports.
    ///
    /// # Errors
    /// If it does not get ready, with what it said.
    pub fn restart(&mut self) -> Result {
        self.process =
            launch(self.folder.path(), self.client_port, self.peer_port, self.token_ttl, self.wiped)?;
        Ok(())
    }

    /// Kills it, keeps a copy of its data, and starts it again.
    ///
    /// # Errors
    /// If the copy cannot be made, or it does not get ready.
    pub fn back_up(&mut self) -> Result {
        self.process.kill();
        self.copy("data", "backup")?;
        self.restart()
    }

    /// Kills it and starts it on the data of [`back_up`](Self::back_up): the same cluster, at the revision of then.
    ///
    /// # Errors
    /// If there is no copy, or it does not get ready.
    pub fn restore(&mut self) -> Result {
        self.process.kill();
        self.copy("backup", "data")?;
        self.restart()
    }

    /// Kills it and starts it on no data: another cluster on the same ports.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn wipe(&mut self) -> Result {
        self.process.kill();
        remove(&self.folder.path().join("data"))?;
        self.wiped += 1;
        self.restart()
    }

    fn copy(&self, from: &str, to: &str) -> Result {
        let (from, to) = (self.folder.path().join(from), self.folder.path().join(to));
        if to.exists() {
            remove(&to)?;
        }
        crate::run::run(Command::new("cp").arg("-R").arg(from).arg(to))
    }
}

fn remove(folder: &Path) -> Result {
    std::fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn launch(folder: &Path, client_port: u16, peer_port: u16, token_ttl: u32, cluster: u32) -> Result<Process> {
    let said = folder.join("log");
    let data = folder.join("data").display().to_string();
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    let (members, token) = (format!("default={peer}"), format!("shop-{cluster}"));
    let token_ttl = token_ttl.to_string();
    let arguments = [
        "--data-dir",
        &data,
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &members,
        "--initial-cluster-token",
        &token,
        "--auth-token-ttl",
        &token_ttl,
        "--logger",
        "zap",
        "--log-level",
        "warn",
    ];
    let mut process = Process::spawn(Path::new("etcd"), None, "TERM", &arguments, &said)?;
    process.until(|| is_healthy(client_port), &said)?;
    Ok(process)
}

/// Whether it has a leader and answers.
fn is_healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
}
