use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::folder::Folder;
use super::process::Process;
use super::{free_port, free_udp_port};
use crate::python::apt_install;
use crate::run::{Result, run, succeeds, tools_dir};

/// The second is what the first needs to start and does not ask for.
const PACKAGES: [&str; 2] = ["node-logstash@0.0.5", "moment@2.9.0"];

/// A node-logstash of its own: takes JSON lines over HTTP and datagrams, and writes what it understood to a file, an event a
/// line. Its TCP input is not used: it takes every packet for whole lines.
#[derive(Debug)]
pub struct Logstash {
    /// Only kept; before the folder, since it must have ended when that is removed.
    _process: Process,
    folder: Folder,
    http: u16,
    udp: u16,
}

impl Logstash {
    /// Installs it if it is missing, and starts it.
    ///
    /// # Errors
    /// If any of that fails, with what it said.
    pub fn start() -> Result<Self> {
        let agent = agent()?;
        let (folder, http, udp) = (Folder::new("logstash")?, free_port()?, free_udp_port()?);
        let said = folder.path().join("log");
        let arguments = [
            agent.display().to_string(),
            "--log_level=warning".to_owned(),
            format!("input://http://127.0.0.1:{http}"),
            format!("input://udp://127.0.0.1:{udp}"),
            format!("output://file://{}?serializer=json_logstash", events(&folder).display()),
        ];
        let arguments = arguments.each_ref().map(String::as_str);
        let mut process = Process::spawn(Path::new("node"), None, "TERM", &arguments, &said)?;
        process.until(|| TcpStream::connect(("127.0.0.1", http)).is_ok(), &said)?;
        Ok(Self { _process: process, folder, http, udp })
    }

    /// Where it takes JSON lines.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Where it takes datagrams.
    pub fn udp_url(&self) -> String {
        format!("udp://127.0.0.1:{}", self.udp)
    }

    /// What it got.
    pub fn events(&self) -> PathBuf {
        events(&self.folder)
    }
}

fn events(folder: &Folder) -> PathBuf {
    folder.path().join("events")
}

/// The program in the target folder, fetched if it is not there.
fn agent() -> Result<PathBuf> {
    let home = tools_dir().join(PACKAGES[0]);
    let modules = home.join("node_modules");
    let agent = modules.join("node-logstash/bin/node-logstash-agent");
    if agent.exists() && modules.join("moment").exists() && succeeds(Command::new("node").arg("--version")) {
        return Ok(agent);
    }
    if !succeeds(Command::new("npm").arg("--version")) {
        apt_install(&["nodejs", "npm"])?;
    }
    std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    run(Command::new("npm")
        .args([
            "install",
            "--omit=optional",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .arg("--prefix")
        .arg(&home)
        .args(PACKAGES)
        // What the task itself prints is for a shell.
        .stdout(Stdio::null()))?;
    Ok(agent)
}
