use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::config::{Changed, Loaded};

/// A configuration that is kept up to date: always a whole one that was accepted, of one revision of etcd.
///
/// Reading it costs a lock that is hardly ever contended; a clone shows the same. [`Loader::live`](crate::config::Loader::live)
/// makes one.
pub struct Live<T> {
    current: watch::Receiver<Arc<Loaded<T>>>,
    status: Arc<Mutex<Status>>,
}

/// How a configuration stands to etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Whether there is an `[etcd]` at all.
    pub etcd: bool,
    /// The revision whose values are in effect; none without etcd.
    pub revision: Option<i64>,
    /// The revision that was seen last: a later one if what it brought was refused or was not for this service.
    pub seen: Option<i64>,
    /// Whether a watch is under way.
    pub watching: bool,
    /// Whether the values in effect are those of the snapshot on disk.
    pub from_snapshot: bool,
    /// Why etcd's values are not in effect: the keys and what is wrong with them, or why etcd cannot be read.
    pub refused: Option<String>,
    /// Why there is no watch.
    pub lost: Option<String>,
}

impl fmt::Display for Status {
    /// Where the values come from: `files, etcd at revision 7, environment and flags`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => {
                let snapshot = if self.from_snapshot { ", of the snapshot" } else { "" };
                write!(f, "files, etcd at revision {revision}{snapshot}, environment and flags")
            }
            None => f.write_str("files, environment and flags"),
        }
    }
}

impl<T> Live<T> {
    pub(super) fn new(current: watch::Receiver<Arc<Loaded<T>>>, status: Arc<Mutex<Status>>) -> Self {
        Self { current, status }
    }

    /// The configuration that is in effect now.
    pub fn current(&self) -> Arc<Loaded<T>> {
        self.current.borrow().clone()
    }

    /// How it stands to etcd now.
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// The changes that are accepted from now on.
    pub fn changes(&self) -> Changes<T> {
        let mut current = self.current.clone();
        let seen = current.borrow_and_update().clone();
        Changes { current, seen }
    }
}

/// A poisoned status is still a status.
pub(super) fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), status: self.status.clone() }
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Accepted changes, each told once.
pub struct Changes<T> {
    current: watch::Receiver<Arc<Loaded<T>>>,
    seen: Arc<Loaded<T>>,
}

/// A change of the typed value. What was accepted while nobody waited is one change.
pub struct Change<T> {
    /// What was told last.
    pub before: Arc<Loaded<T>>,
    /// What is in effect.
    pub after: Arc<Loaded<T>>,
    /// What differs; never empty.
    pub changed: Vec<Changed>,
}

impl<T: Serialize> Changes<T> {
    /// The next change; `None` once there can be none: the watcher is gone, or there is no etcd. What a higher layer covers is no
    /// change.
    ///
    /// # Cancel safety
    /// Safe: a change is told by the call that returns it.
    pub async fn next(&mut self) -> Option<Change<T>> {
        loop {
            self.current.changed().await.ok()?;
            let after = self.current.borrow_and_update().clone();
            // What has no JSON form was refused before.
            let changed = self.seen.difference(&after).unwrap_or_default();
            let before = std::mem::replace(&mut self.seen, after.clone());
            if !changed.is_empty() {
                return Some(Change { before, after, changed });
            }
        }
    }
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("changed", &self.changed).finish_non_exhaustive()
    }
}
