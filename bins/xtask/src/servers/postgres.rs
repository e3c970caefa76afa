use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder::Folder;
use super::free_port;
use super::process::{Process, as_user};
use crate::python::{apt_install, is_root};
use crate::run::{Result, run, succeeds};

/// A `PostgreSQL` of its own, as durable as it is by default.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder: it must have ended when that is removed.
    process: Process,
    programs: PathBuf,
    folder: Folder,
    port: u16,
    password: String,
}

impl Postgres {
    /// Installs it if it is missing, makes a new cluster and starts it.
    ///
    /// # Errors
    /// If any of that fails, with what the server said.
    pub fn start() -> Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None => {
                apt_install(&["postgresql"])?;
                programs().ok_or("the package postgresql has left no server in /usr/lib/postgresql")?
            }
        };
        let (folder, password) = (Folder::new("postgres")?, random_word()?);
        make_cluster(&programs, folder.path(), &password)?;
        let port = free_port()?;
        let process = launch(&programs, folder.path(), port)?;
        Ok(Self { process, programs, folder, port, password })
    }

    /// Where it is, for its superuser.
    pub fn url(&self) -> String {
        format!("postgres://shop:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// To kill, stop and continue it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again after it was killed, on the same data and port.
    ///
    /// # Errors
    /// If it does not get ready, with what it said.
    pub fn restart(&mut self) -> Result {
        self.process = launch(&self.programs, self.folder.path(), self.port)?;
        Ok(())
    }
}

/// Of the newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|folder| folder.join("bin/initdb").exists() && folder.join("bin/postgres").exists())
        .max_by_key(|folder| version(folder))?;
    Some(newest.join("bin"))
}

/// It refuses to run as root.
fn user() -> Option<&'static str> {
    is_root().then_some("postgres")
}

fn make_cluster(programs: &Path, folder: &Path, password: &str) -> Result {
    let file = folder.join("password");
    std::fs::write(&file, password).map_err(|error| format!("{}: {error}", file.display()))?;
    if let Some(user) = user() {
        run(Command::new("chown").args(["-R", user]).arg(folder))?;
    }
    run(as_user(user())
        .current_dir(folder)
        .arg(programs.join("initdb"))
        .args(["--username=shop", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
        .arg(format!("--pwfile={}", file.display()))
        .arg(format!("--pgdata={}", folder.join("data").display()))
        .stdout(std::process::Stdio::null()))
}

fn launch(programs: &Path, folder: &Path, port: u16) -> Result<Process> {
    let said = folder.join("log");
    let data = folder.join("data");
    let (data, sockets) =
        (data.display().to_string(), format!("unix_socket_directories={}", folder.display()));
    let listen = format!("port={port}");
    let arguments = [
        "-D",
        &data,
        "-c",
        &listen,
        "-c",
        &sockets,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "max_connections=300",
    ];
    let mut process = Process::spawn(&programs.join("postgres"), user(), "INT", &arguments, &said)?;
    let port = port.to_string();
    let ready =
        || succeeds(Command::new(programs.join("pg_isready")).args(["-q", "-h", "127.0.0.1", "-p", &port]));
    process.until(ready, &said)?;
    Ok(process)
}

/// Others on this machine have no business in it.
fn random_word() -> Result<String> {
    let mut bytes = [0; 12];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| format!("/dev/urandom: {error}"))?;
    Ok(bytes.iter().fold(String::new(), |mut word, byte| {
        let _ = write!(word, "{byte:02x}");
        word
    }))
}
