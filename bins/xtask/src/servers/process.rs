use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::run::Result;

/// A server's process; ended when dropped, and with the thread that started it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    /// What it ends at without waiting for its clients.
    quit: &'static str,
}

impl Process {
    /// Starts a program that says what it has to say into a file; as another user if one is named.
    pub(super) fn spawn(
        program: &Path,
        user: Option<&str>,
        quit: &'static str,
        arguments: &[&str],
        said: &Path,
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fault = |error: std::io::Error| format!("{name}: {error}");
        let log = std::fs::File::options().create(true).append(true).open(said).map_err(fault)?;
        let errors = log.try_clone().map_err(fault)?;
        let mut command = as_user(user);
        command.args(["--pdeathsig", quit]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        if let Some(folder) = said.parent() {
            command.current_dir(folder);
        }
        let child = command.spawn().map_err(fault)?;
        Ok(Self { child, name, quit })
    }

    /// Waits until a command says that it is ready.
    pub(super) fn until(&mut self, ready: impl Fn() -> bool, said: &Path) -> Result {
        let since = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().is_ok_and(|ended| ended.is_some());
            if ended || since.elapsed() > PATIENCE {
                let what = if ended { "ended before it was ready" } else { "is not ready" };
                let log = std::fs::read_to_string(said).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(20).collect();
                let last: Vec<_> = last.into_iter().rev().collect();
                return Err(format!("{} {what}:\n{}", self.name, last.join("\n")));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Sends a signal to it and to the processes that it started.
    pub fn signal(&self, name: &str) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        // A shell has it built in. A child may have ended in the meantime.
        let kill = format!("kill -{name} {id} {children} 2>/dev/null");
        let _ = Command::new("sh").args(["-c", &kill]).status();
    }

    /// Ends it at once, as `kill -9` does, and waits until neither it nor a process that it started is left.
    pub fn kill(&mut self) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        self.signal("KILL");
        let _ = self.child.wait();
        let since = Instant::now();
        for child in children.split_whitespace() {
            while Path::new("/proc").join(child).exists() && since.elapsed() < Duration::from_secs(10) {
                sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            // Its id may be another's by now.
            return;
        }
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -CONT {0}; kill -{1} {0}", self.child.id(), self.quit)])
            .stderr(Stdio::null())
            .status();
        let since = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if since.elapsed() > Duration::from_secs(10) {
                self.kill();
                return;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// Runs what comes after it as this user, if one is named.
pub(super) fn as_user(user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command
}
