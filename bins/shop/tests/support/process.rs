//! A process that is killed when it is dropped, and all that it said.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::PATIENCE;

/// The shop's binary.
pub(crate) fn shop() -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_shop")))
}

/// The binary of a server of its own: `shop-orders`, `shop-products` or `shop-gateway`. They belong to other packages, whose
/// binaries cargo makes only when it is asked for them: they are built here if they are missing or older than the sources.
pub(crate) fn server(name: &str) -> Command {
    static BUILT: Once = Once::new();
    let bin = Path::new(env!("CARGO_BIN_EXE_shop")).parent().unwrap();
    BUILT.call_once(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut newest = SystemTime::UNIX_EPOCH;
        for folder in ["shop-core", "shop-products", "shop-orders", "shop-gateway"] {
            newest_source(&root.join(folder).join("src"), &mut newest);
        }
        for package in ["shop", "orders", "products", "gateway"] {
            newest_source(&root.join("bins").join(package).join("src"), &mut newest);
        }
        let fresh = |server: &&str| {
            let made = bin.join(server).metadata().and_then(|file| file.modified());
            made.is_ok_and(|made| made >= newest) && has_stores(&bin.join(server))
        };
        if !["shop-orders", "shop-products", "shop-gateway"].iter().all(fresh) {
            let mut build = Command::new(env!("CARGO"));
            build.current_dir(root).args(["build", "--quiet", "--target-dir"]).arg(bin.parent().unwrap());
            build.args([
                "-p",
                "shop-orders-server",
                "-p",
                "shop-products-server",
                "-p",
                "shop-gateway-server",
            ]);
            if cfg!(all(feature = "mongodb", feature = "postgres")) {
                build.args([
                    "--features",
                    "shop-orders-server/full,shop-products-server/full,shop-gateway-server/full",
                ]);
            }
            if bin.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "the servers cannot be built");
        }
    });
    command(&bin.join(name))
}

/// Whether a server that is there was built with the stores that the tests are.
fn has_stores(server: &Path) -> bool {
    let name = server.file_name().unwrap();
    let store = match name.to_str().unwrap() {
        "shop-orders" => "postgres://localhost/shop",
        "shop-products" => "mongodb://localhost/shop",
        _ => return true,
    };
    let checked = command(server).args(["--check", "--store", store]).output();
    !cfg!(all(feature = "mongodb", feature = "postgres"))
        || checked.is_ok_and(|checked| checked.status.success())
}

fn newest_source(folder: &Path, newest: &mut SystemTime) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            newest_source(&entry.path(), newest);
        } else {
            *newest = (*newest).max(entry.metadata().unwrap().modified().unwrap());
        }
    }
}

/// A command that inherits nothing from the environment but the search path.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// A process and what it has said so far.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    out: Stream,
    err: Stream,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) =
            (Stream::read(child.stdout.take().unwrap()), Stream::read(child.stderr.take().unwrap()));
        Self { child, out, err }
    }

    /// Runs to the end.
    pub(crate) fn run(command: &mut Command) -> Ended {
        Self::spawn(command).ended()
    }

    /// Waits until `pick` finds something in what was said to stdout; fails if the process ends before.
    pub(crate) fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            let open = self.out.is_open();
            if let Some(found) = pick(&self.out.text()) {
                return found;
            }
            assert!(open, "ended before {what}: {}{}", self.out.text(), self.err.text());
            assert!(since.elapsed() < PATIENCE, "never {what}: {}{}", self.out.text(), self.err.text());
            self.out.wait(Duration::from_millis(10));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal: `TERM`, `INT`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        // A shell has it built in; the program `kill` is not everywhere.
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        let since = Instant::now();
        while self.is_running() {
            assert!(since.elapsed() < PATIENCE, "it does not end: {}", self.said());
            self.out.wait(Duration::from_millis(10));
        }
    }

    /// All that it has said so far.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out.text(), self.err.text())
    }

    /// Waits for its end, and takes all that it said.
    pub(crate) fn ended(mut self) -> Ended {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end: {}", self.said());
            self.out.wait(Duration::from_millis(10));
        };
        self.out.finish();
        self.err.finish();
        Ended { code: status.code().unwrap_or(-1), out: self.out.text(), err: self.err.text() }
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes out of a pipe, read as it comes: a full pipe would stop the process.
#[derive(Debug)]
struct Stream {
    said: Arc<(Mutex<Said>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    closed: bool,
}

impl Stream {
    fn read(mut pipe: impl Read + Send + 'static) -> Self {
        let said = Arc::<(Mutex<Said>, Condvar)>::default();
        let (written, mut buffer) = (said.clone(), [0; 8192]);
        let reader = std::thread::spawn(move || {
            loop {
                let read = pipe.read(&mut buffer).unwrap_or_default();
                let mut said = written.0.lock().unwrap();
                said.bytes.extend_from_slice(&buffer[..read]);
                said.closed = read == 0;
                written.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { said, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.0.lock().unwrap().bytes).into_owned()
    }

    fn is_open(&self) -> bool {
        !self.said.0.lock().unwrap().closed
    }

    /// Waits until there is more, for a while.
    fn wait(&self, a_while: Duration) {
        let said = self.said.0.lock().unwrap();
        drop(self.said.1.wait_timeout(said, a_while).unwrap());
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

/// A folder of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join(path)
}
