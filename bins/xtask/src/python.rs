//! A Python environment of the project's own, with what the tests take from PyPI.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{Result, run, succeeds, tools_dir};

/// Pinned: its checks are part of what "the tests pass" means.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The environment's folder of programs, made and filled if it is not there.
pub(crate) fn environment() -> Result<PathBuf> {
    let home = tools_dir().join("python");
    let bin = home.join("bin");
    if succeeds(Command::new(bin.join("schemathesis")).arg("--version")) {
        return Ok(bin);
    }
    if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        apt_install(&["python3", "python3-venv"])?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    run(Command::new(bin.join("pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        SCHEMATHESIS,
    ]))?;
    Ok(bin)
}

/// Installs Debian packages; as another user than root, through sudo.
pub(crate) fn apt_install(packages: &[&str]) -> Result {
    let root = succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]));
    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.arg("apt-get");
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        command
    };
    run(&mut apt(&["update", "-qq"]))?;
    run(apt(&["install", "-y", "-qq", "--no-install-recommends"]).args(packages))
}
