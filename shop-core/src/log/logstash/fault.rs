//! Why a window was not delivered.

use std::io;
use std::time::Duration;

/// What to do about it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection is of no more use, or the receiver cannot take events now: again, later or elsewhere.
    Later(io::Error),
    /// The receiver will never take this window.
    Refused(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Later(error)
    }
}

/// Does not wait for longer than `limit`; `what` is said of a peer that takes longer.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("{what} in {} ms", limit.as_millis()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}
