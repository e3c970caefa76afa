use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entries::{Entries, layer, of_service};
use super::section::EtcdConfig;
use super::snapshot::{Snapshot, path_of};
use crate::config::Loaded;
use crate::config::error::ConfigErrors;
use crate::config::live::{Check, Core, Live, Status, load, lock};
use crate::config::loader::{Layers, Remote};

/// What etcd's entries are made into a configuration with.
pub(super) struct Recipe<T> {
    /// As they were at the start.
    pub(super) layers: Layers,
    pub(super) config: EtcdConfig,
    pub(super) service: String,
    pub(super) check: Check<T>,
}

impl<T> Recipe<T> {
    fn layer(&self, entries: &Entries) -> Remote {
        layer(entries, &self.config.prefix, &self.service)
    }

    /// The same without files, environment and flags, and without the check: what etcd's values make of what is built in.
    pub(super) fn remote_only(&self) -> Self {
        Self {
            layers: self.layers.secrets_only(),
            config: self.config.clone(),
            service: self.service.clone(),
            check: Arc::new(|_| Vec::new()),
        }
    }

    pub(super) fn ours(&self, all: &Entries) -> Entries {
        of_service(all, &self.config.prefix, &self.service)
    }
}

impl<T: DeserializeOwned + Serialize> Recipe<T> {
    /// The whole configuration with these entries.
    pub(super) fn load(&self, entries: &Entries) -> Result<Loaded<T>, ConfigErrors> {
        load(&self.layers, Some(self.layer(entries)), &self.check)
    }
}

/// Decides which of etcd's values take the place of the last good ones.
pub(super) struct Keeper<T> {
    pub(super) recipe: Recipe<T>,
    core: Arc<Mutex<Core<T>>>,
    accepted: Entries,
    /// What was refused last, so that it is told once.
    refused: Option<Entries>,
    status: Arc<Mutex<Status>>,
}

impl<T: DeserializeOwned + Serialize> Keeper<T> {
    pub(super) fn new(
        recipe: Recipe<T>,
        accepted: Entries,
        loaded: Loaded<T>,
        status: Status,
    ) -> (Self, Live<T>) {
        let remote = recipe.layer(&accepted);
        let core = Core::new(recipe.layers.clone(), Some(remote), recipe.check.clone(), loaded);
        let (core, status) = (Arc::new(Mutex::new(core)), Arc::new(Mutex::new(status)));
        let live = Live::new(core.clone(), status.clone());
        (Self { recipe, core, accepted, refused: None, status }, live)
    }

    /// Takes etcd's values at a revision over, whole, if they make a good configuration; nothing is made anew if they are what is
    /// in effect. Gives what is to be kept on disk.
    pub(super) fn offer(&mut self, all: &Entries, revision: i64) -> Option<(PathBuf, Snapshot)> {
        let entries = self.recipe.ours(all);
        if entries == self.accepted {
            if self.refused.take().is_some() {
                tracing::info!(revision, "etcd holds again what is in effect");
            }
            self.in_effect(revision);
            return None;
        }
        // Unless they were accepted since, with other files.
        if self.refused.as_ref() == Some(&entries) && self.status().refused.is_some() {
            self.update(|status| status.seen = Some(revision));
            return None;
        }
        let keys = keys_that_differ(&self.accepted, &entries);
        let outcome = lock(&self.core).offer(self.recipe.layer(&entries));
        match outcome {
            Err(errors) => {
                tracing::error!(revision, keys, error = %errors, "a change in etcd is refused; what was in effect stays");
                self.update(|status| {
                    status.seen = Some(revision);
                    status.refused = Some(format!("{keys}: {errors}"));
                });
                self.refused = Some(entries);
                None
            }
            Ok(changed) => {
                let changed: Vec<&str> = changed.iter().map(|changed| changed.path.as_str()).collect();
                tracing::info!(revision, keys, changed = changed.join(" "), "a change in etcd is accepted");
                self.refused = None;
                self.accepted = entries;
                self.in_effect(revision);
                snapshot(&self.recipe, &self.accepted, revision)
            }
        }
    }

    /// Etcd's values at this revision are those that are in effect.
    fn in_effect(&self, revision: i64) {
        self.update(|status| {
            (status.revision, status.seen) = (Some(revision), Some(revision));
            (status.refused, status.from_snapshot) = (None, false);
        });
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut lock(&self.status));
    }

    pub(super) fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Once nobody reads the configuration any more.
    pub(super) fn unread(&self) -> impl Future<Output = ()> + use<T> {
        lock(&self.core).unread()
    }
}

/// What is to be kept on disk, if anything is.
pub(super) fn snapshot<T>(
    recipe: &Recipe<T>,
    entries: &Entries,
    revision: i64,
) -> Option<(PathBuf, Snapshot)> {
    let path = path_of(&recipe.config, &recipe.service)?;
    let (prefix, service) = (recipe.config.prefix.clone(), recipe.service.clone());
    Some((path, Snapshot { prefix, service, revision, entries: entries.clone() }))
}

/// Names alone: values may be secrets.
fn keys_that_differ(before: &Entries, after: &Entries) -> String {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let new = after.iter().filter(|(key, entry)| before.get(*key) != Some(entry)).map(|(key, _)| key);
    let mut keys: Vec<&str> = gone.chain(new).map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

/// Writes a snapshot, if there is one; a disk that cannot take it is told and stops nothing.
pub(super) async fn keep(snapshot: Option<(PathBuf, Snapshot)>) {
    let Some((path, snapshot)) = snapshot else { return };
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || snapshot.write(&path)).await;
    let fault = match written {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(file = shown, error = fault, "the snapshot of etcd's values cannot be written");
}
