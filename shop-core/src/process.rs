//! What every binary's `main` does: a runtime, signals, and the exit codes.
//!
//! | signal | meaning |
//! |---|---|
//! | SIGTERM, SIGINT | stop accepting, finish what runs, flush the logs, exit 0; a second one exits at once with 1 |
//! | SIGHUP | reload |

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long what runs may go on after a signal, unless configured.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// The exit code of a bad configuration: EX_USAGE of sysexits.h.
pub const EXIT_CONFIG: u8 = 64;

/// Why a process ends with another code than 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The configuration is bad, and nothing was bound: exit code 64. Every fault, a line each.
    Config(String),
    /// Anything else: exit code 1.
    Fault(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_CONFIG,
            Self::Fault(_) => 1,
        }
    }

    /// A fault that an error made, with its sources.
    pub fn fault(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Fault(crate::chain(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(text) | Self::Fault(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs a process's work on a multi-threaded runtime; what went wrong goes to stderr as `<name>: …`.
///
/// The limit of open files is raised as far as the process may. `work` gets the token that SIGTERM and SIGINT cancel. `workers` is the number of threads; 0 is one a core.
pub fn run<F, Fut>(name: &str, workers: usize, work: F) -> ExitCode
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    raise_open_files();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    let outcome = match builder.enable_all().thread_name(name).build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(async {
                let shutdown = shutdown_signal().map_err(|e| Failure::fault(&e))?;
                work(shutdown).await
            });
            // Blocking work that nobody waits for must not keep the process.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome
        }
        Err(error) => Err(Failure::Fault(format!("cannot start the runtime: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Lets the process have as many files and sockets as it may: the usual limit of 1,024 is for programs that use `select`,
/// and is soon used up by clients, after which not even a database file can be opened.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where the system takes less than it says, the limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(not(unix))]
fn raise_open_files() {}

/// A token that SIGTERM or SIGINT cancels; a second signal ends the process at once with code 1.
///
/// # Errors
/// When the handlers cannot be installed.
///
/// # Panics
/// Outside a tokio runtime.
pub fn shutdown_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if cancelled.is_cancelled() {
                    std::process::exit(1);
                }
                cancelled.cancel();
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if cancelled.is_cancelled() {
                std::process::exit(1);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// Calls `reload` at every SIGHUP, one at a time, for as long as the runtime lives. Does nothing where there is no SIGHUP.
///
/// # Errors
/// When the handler cannot be installed.
///
/// # Panics
/// Outside a tokio runtime.
pub fn on_hangup<F, Fut>(reload: F) -> io::Result<()>
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                reload().await;
            }
        });
    }
    #[cfg(not(unix))]
    drop(reload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_code_and_tells_its_sources() {
        assert_eq!(Failure::Config("x".into()).code(), 64);
        let error = crate::StoreError::new(crate::StoreErrorKind::Unavailable, "open")
            .with_source(io::Error::other("disk on fire"));
        let failure = Failure::fault(&error);
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().ends_with(": disk on fire"), "{failure}");
    }
}
