//! A Python environment of the project's own, with what the tests take from PyPI.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{Result, run, succeeds, tools_dir};

/// Pinned: the checks of the first are part of what "the tests pass" means. The second makes a replica set of a `mongod`.
const PACKAGES: [&str; 2] = ["schemathesis==4.32.5", "pymongo==4.15.5"];

/// Whether the packages in argv are installed in these versions.
const INSTALLED: &str = "import sys
from importlib.metadata import version
sys.exit(any(version(name) != pinned for name, pinned in (word.split('==') for word in sys.argv[1:])))
";

/// The environment's folder of programs, made and filled if it is not there.
pub(crate) fn environment() -> Result<PathBuf> {
    let home = tools_dir().join("python");
    let bin = home.join("bin");
    if succeeds(Command::new(bin.join("python")).args(["-c", INSTALLED]).args(PACKAGES)) {
        return Ok(bin);
    }
    if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        apt_install(&["python3", "python3-venv"])?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    run(Command::new(bin.join("pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PACKAGES))?;
    Ok(bin)
}

/// Installs Debian packages; as another user than root, through sudo.
pub(crate) fn apt_install(packages: &[&str]) -> Result {
    let root = is_root();
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

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]))
}
