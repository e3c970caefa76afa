//! A configuration that changes while the process runs.

mod core;
mod files;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub(super) use self::core::{Check, Core, load};
use crate::config::{Changed, ConfigErrors, Loaded, Loader, Violation};

/// A configuration that is kept up to date: always a whole one that was accepted, of the files as they were read last and of one
/// revision of etcd.
///
/// Reading it costs a lock that is hardly ever contended; a clone shows the same. [`Loader::live_files`] makes one, and with feature
/// `etcd` `Loader::live`.
pub struct Live<T> {
    core: Arc<Mutex<Core<T>>>,
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

impl Loader {
    /// Reads all layers as `T`, which then has to pass a check of its own. The value changes with [`Live::reload`].
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use shop_core::config::Loader;
    ///
    /// #[derive(Debug, Default, Serialize, Deserialize)]
    /// #[serde(default)]
    /// struct Config { in_flight: usize }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("app.toml");
    /// std::fs::write(&file, "in_flight = 4")?;
    /// let live = Loader::new().file(&file).live_files::<Config>(|_| Vec::new())?;
    /// std::fs::write(&file, "in_flight = 5")?;
    /// live.reload()?;
    /// assert_eq!(live.current().value.in_flight, 5);
    /// std::fs::write(&file, "in_flight = many")?;
    /// assert!(live.reload().is_err());
    /// assert_eq!(live.current().value.in_flight, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Every fault of every layer, or else every violation.
    pub fn live_files<T: DeserializeOwned + Serialize>(
        self,
        check: impl Fn(&T) -> Vec<Violation> + Send + Sync + 'static,
    ) -> Result<Live<T>, ConfigErrors> {
        let (layers, check): (_, Check<T>) = (self.layers(), Arc::new(check));
        let loaded = load(&layers, None, &check)?;
        let core = Core::new(layers, None, check, loaded);
        Ok(Live::new(Arc::new(Mutex::new(core)), Arc::default()))
    }
}

impl<T> Live<T> {
    pub(super) fn new(core: Arc<Mutex<Core<T>>>, status: Arc<Mutex<Status>>) -> Self {
        let current = lock(&core).subscribe();
        Self { core, current, status }
    }

    /// The configuration that is in effect now.
    pub fn current(&self) -> Arc<Loaded<T>> {
        self.current.borrow().clone()
    }

    /// How it stands to etcd now.
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// The changes that were accepted since `boot` was in effect, and from now on.
    pub fn changes_since(&self, boot: Arc<Loaded<T>>) -> Changes<T> {
        let mut current = self.current.clone();
        current.mark_changed();
        Changes { current, seen: boot }
    }

    /// The changes that are accepted from now on.
    pub fn changes(&self) -> Changes<T> {
        let mut current = self.current.clone();
        let seen = current.borrow_and_update().clone();
        Changes { current, seen }
    }
}

impl<T: DeserializeOwned + Serialize> Live<T> {
    /// Reads the files again, and secrets with them, and takes the whole over if it is good; if not, what was in effect stays. Either
    /// is told through `tracing`. Blocks while it reads.
    ///
    /// # Errors
    /// Every fault of every layer.
    pub fn reload(&self) -> Result<Vec<Changed>, ConfigErrors> {
        let outcome = lock(&self.core).reread().map(|reread| {
            if reread.remote {
                let mut status = lock(&self.status);
                (status.revision, status.refused) = (status.seen.or(status.revision), None);
            }
            reread.changed
        });
        match &outcome {
            Ok(changed) => {
                let changed: Vec<&str> = changed.iter().map(|changed| changed.path.as_str()).collect();
                tracing::info!(changed = changed.join(" "), "the files are read again");
            }
            Err(errors) => {
                tracing::error!(error = %errors, "the files are read again and refused; what was in effect stays");
            }
        }
        outcome
    }
}

/// What is locked is whole at any time: a poisoned lock is still good.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), current: self.current.clone(), status: self.status.clone() }
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
    /// The next change; `None` once there can be none: every [`Live`] and the watcher are gone. What a higher layer covers is no
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
