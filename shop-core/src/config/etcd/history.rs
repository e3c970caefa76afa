use std::time::Duration;

use etcd_client::WatchStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::connection::notice;
use super::editor::{EditError, Editor};
use super::entries::{Entries, Entry};
use super::keeper::Recipe;
use super::mirror::{Event, Read};
use crate::config::Changed;
use crate::config::error::ConfigErrors;

/// How long etcd may take to tell all that it remembers.
const ALL: Duration = Duration::from_secs(30);
/// How often it is asked how far it is.
const ASK: Duration = Duration::from_millis(200);

/// What etcd remembers of a service's configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct History {
    /// What was before this revision is compacted; 0: nothing is.
    pub since: i64,
    /// The changes, oldest first.
    pub changes: Vec<Past>,
}

/// A change of the past: one transaction.
#[derive(Debug)]
#[non_exhaustive]
pub struct Past {
    /// Its revision.
    pub revision: i64,
    /// The keys of etcd that it wrote or deleted.
    pub keys: Vec<String>,
    /// What it changed beside what the service has built in, without files and environment; the faults, if it was bad. Secrets
    /// are not shown.
    pub changed: Result<Vec<Changed>, ConfigErrors>,
}

impl<T: DeserializeOwned + Serialize> Editor<T> {
    /// The last changes of what a service reads, whoever made them, as far as etcd has not compacted them.
    ///
    /// # Errors
    /// [`EditError::Layer`] and [`EditError::Etcd`].
    ///
    /// # Panics
    /// As [`Editor::set`].
    ///
    /// # Cancel safety
    /// Safe: it reads.
    pub async fn history(&self, service: &str, last: usize) -> Result<History, EditError> {
        let recipe = self.recipe(service)?.remote_only();
        let (mut connection, now) = self.read().await?;
        let deadline = Instant::now() + ALL;
        let mut base = Read { cluster: now.cluster, revision: 0, entries: Entries::new() };
        let events = loop {
            let stream = connection.watch(base.revision + 1).await.map_err(EditError::Etcd)?;
            match gather(stream, &base.entries, &now, deadline).await.map_err(EditError::Etcd)? {
                Gathered::All(events) => break events,
                Gathered::Compacted(revision) => {
                    base = connection.read_at(revision).await.map_err(EditError::Etcd)?;
                }
            }
        };
        Ok(History { since: base.revision, changes: changes(&recipe, base.entries, &events, last) })
    }
}

enum Gathered {
    All(Vec<Event>),
    Compacted(i64),
}

/// Follows a watch until it has told all that leads from `base` to `now`.
async fn gather(
    mut stream: WatchStream,
    base: &Entries,
    now: &Read,
    deadline: Instant,
) -> Result<Gathered, String> {
    let (mut entries, mut events) = (base.clone(), Vec::new());
    loop {
        stream.request_progress().await.map_err(|error| crate::chain(&error))?;
        let until = (Instant::now() + ASK).min(deadline);
        while let Ok(answer) = timeout_at(until, stream.message()).await {
            let answer = answer.map_err(|error| crate::chain(&error))?.ok_or("etcd ended the watch")?;
            let answer = notice(answer);
            if answer.compacted > 0 {
                return Ok(Gathered::Compacted(answer.compacted));
            }
            if answer.canceled {
                return Err(answer.reason);
            }
            // An old server tells progress before it has told all: that what was told leads to what is there is seen too.
            let told = answer.events.is_empty() && !answer.created && answer.revision >= now.revision;
            for event in answer.events.into_iter().filter(|event| event.revision <= now.revision) {
                apply(&mut entries, &event);
                events.push(event);
            }
            if told && entries == now.entries {
                return Ok(Gathered::All(events));
            }
        }
        if Instant::now() >= deadline {
            return Err(format!("it did not tell all that it remembers within {} s", ALL.as_secs()));
        }
    }
}

fn apply(entries: &mut Entries, event: &Event) {
    match &event.value {
        Some(value) => {
            entries.insert(event.key.clone(), Entry { value: value.clone(), revision: event.revision });
        }
        None => {
            entries.remove(&event.key);
        }
    }
}

/// The last of the changes that concern a service.
fn changes<T: DeserializeOwned + Serialize>(
    recipe: &Recipe<T>,
    mut entries: Entries,
    events: &[Event],
    last: usize,
) -> Vec<Past> {
    let mut found = Vec::new();
    for transaction in events.chunk_by(|a, b| a.revision == b.revision) {
        let before = recipe.ours(&entries);
        for event in transaction {
            apply(&mut entries, event);
        }
        let after = recipe.ours(&entries);
        if before != after {
            found.push((transaction, before, after));
        }
    }
    let dropped = found.len().saturating_sub(last);
    let past = |(transaction, before, after): (&[Event], Entries, Entries)| {
        let ours = |event: &&Event| before.contains_key(&event.key) || after.contains_key(&event.key);
        // What was bad before counts as nothing.
        let old = recipe.load(&before).or_else(|_| recipe.load(&Entries::new()));
        let changed = old.and_then(|old| Ok(old.difference(&recipe.load(&after)?).unwrap_or_default()));
        let keys = transaction.iter().filter(ours).map(|event| event.key.clone()).collect();
        Past { revision: transaction[0].revision, keys, changed }
    };
    found.into_iter().skip(dropped).map(past).collect()
}
