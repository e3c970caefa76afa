use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connection::Connection;
use super::entries::{COMMON, Entries, Entry};
use super::keeper::Recipe;
use super::mirror::Read;
use super::section::EtcdConfig;
use super::start::{LiveError, section};
use crate::config::difference::value;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::tree::{Kind, Node};
use crate::config::{Loader, Violation, file};

/// How long etcd may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The key below the prefix that every edit writes.
const EDITED: &str = "edited";

/// Changes common configuration as an operator does: checked for every service that reads it, and only on what was checked. Of
/// what others do meanwhile without an editor, a deletion is not noticed; the services check what they read.
///
/// A layer is `common` or the name of a service; a key is written as `log.level`. Each change is one transaction, of as many keys
/// as the server takes in one, less one (127 unless it is told otherwise).
pub struct Editor<T> {
    pub(super) config: EtcdConfig,
    pub(super) recipes: Vec<Recipe<T>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// There is no such layer, or no such service.
    #[error("{0:?} is no layer; there are {1}")]
    Layer(String, String),
    /// What was to be applied cannot be read.
    #[error(transparent)]
    Unreadable(ConfigErrors),
    /// A service's configuration would be bad.
    #[error("{service} would not take it:\n{errors}")]
    #[non_exhaustive]
    Refused {
        /// Whose.
        service: String,
        /// Every fault of it.
        errors: ConfigErrors,
    },
    /// Somebody else changed something since it was checked; nothing was written.
    #[error("something else was changed at the same time; nothing was written")]
    Raced,
    /// etcd did not answer, or refused. Whether it was written is not known where it did not answer.
    #[error("etcd: {0}")]
    Etcd(String),
}

/// A change that was checked, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edited {
    /// The revision that it was written at; none if nothing was to be written, or nothing differed.
    pub revision: Option<i64>,
    /// The keys of etcd that got another value.
    pub written: Vec<String>,
    /// The keys of etcd that were deleted.
    pub deleted: Vec<String>,
}

/// Values by the keys of etcd; none: deleted.
type Values = BTreeMap<String, Option<Arc<[u8]>>>;

impl Loader {
    /// To change the values of the etcd that the layers' `[etcd]` names, which these services read; `check` has the service's
    /// name first. `None` without an `[etcd]`.
    ///
    /// # Errors
    /// [`LiveError::Config`].
    pub fn editor<T>(
        self,
        services: &[&'static str],
        check: impl Fn(&str, &T) -> Vec<Violation> + Clone + Send + Sync + 'static,
    ) -> Result<Option<Editor<T>>, LiveError> {
        let layers = self.layers();
        let Some(config) = section(&layers)? else { return Ok(None) };
        let recipe = |service: &&'static str| {
            let (service, check) = (*service, check.clone());
            let check = Arc::new(move |config: &T| check(service, config));
            Recipe { layers: layers.clone(), config: config.clone(), service: service.to_owned(), check }
        };
        let recipes = services.iter().map(recipe).collect();
        Ok(Some(Editor { config, recipes }))
    }
}

impl<T: DeserializeOwned + Serialize> Editor<T> {
    /// Writes (or with `None` deletes) keys of a layer. A value is as it is to stand in etcd: JSON, or a string as it is.
    ///
    /// # Errors
    /// See [`EditError`].
    ///
    /// # Panics
    /// Outside a tokio runtime that has time and I/O.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have been written.
    pub async fn set(&self, layer: &str, values: &[(String, Option<String>)]) -> Result<Edited, EditError> {
        self.known(layer)?;
        let key = |path: &str| format!("{}/{layer}/{}", self.config.prefix, path.replace('.', "/"));
        let bytes = |value: &String| Arc::from(value.as_bytes());
        let values = values.iter().map(|(path, value)| (key(path), value.as_ref().map(bytes))).collect();
        let (connection, read) = self.read().await?;
        self.change(connection, read, values, true).await
    }

    /// Makes a layer what a TOML text says, whole: what the text does not have is deleted from the layer. `name` is the text's, for
    /// its faults. Checked alone and nothing written unless `write`.
    ///
    /// # Errors
    /// See [`EditError`].
    ///
    /// # Panics
    /// As [`Editor::set`].
    ///
    /// # Cancel safety
    /// As [`Editor::set`].
    pub async fn apply(&self, layer: &str, name: &str, text: &str, write: bool) -> Result<Edited, EditError> {
        self.known(layer)?;
        let tree = file::parse(name, text).map_err(|errors| EditError::Unreadable(ConfigErrors(errors)))?;
        let scope = format!("{}/{layer}", self.config.prefix);
        let (connection, read) = self.read().await?;
        let below = format!("{scope}/");
        let mut values: Values = read
            .entries
            .keys()
            .filter(|key| key.starts_with(&below))
            .map(|key| (key.clone(), None))
            .collect();
        let mut empty = Vec::new();
        leaves(&tree, scope, &mut values, &mut empty);
        if !empty.is_empty() {
            return Err(EditError::Unreadable(ConfigErrors(empty)));
        }
        self.change(connection, read, values, write).await
    }

    /// Makes every layer what it was at an earlier revision, which etcd must not have compacted: a new change, at a revision of
    /// its own. Checked alone and nothing written unless `write`.
    ///
    /// # Errors
    /// See [`EditError`].
    ///
    /// # Panics
    /// As [`Editor::set`].
    ///
    /// # Cancel safety
    /// As [`Editor::set`].
    pub async fn rollback(&self, revision: i64, write: bool) -> Result<Edited, EditError> {
        let (mut connection, read) = self.read().await?;
        let before = connection.read_at(revision).await.map_err(EditError::Etcd)?;
        let mut values = Values::new();
        for recipe in &self.recipes {
            values.extend(recipe.ours(&read.entries).into_keys().map(|key| (key, None)));
        }
        for recipe in &self.recipes {
            let then = recipe.ours(&before.entries).into_iter();
            values.extend(then.map(|(key, entry)| (key, Some(entry.value))));
        }
        self.change(connection, read, values, write).await
    }

    fn known(&self, layer: &str) -> Result<(), EditError> {
        if layer == COMMON { Ok(()) } else { self.recipe(layer).map(drop) }
    }

    pub(super) fn recipe(&self, service: &str) -> Result<&Recipe<T>, EditError> {
        self.recipes.iter().find(|recipe| recipe.service == service).ok_or_else(|| {
            let services: Vec<&str> = self.recipes.iter().map(|recipe| recipe.service.as_str()).collect();
            EditError::Layer(service.to_owned(), format!("{COMMON}, {}", services.join(", ")))
        })
    }

    pub(super) async fn read(&self) -> Result<(Connection, Read), EditError> {
        let mut connection = Connection::open(&self.config, ANSWER).await.map_err(EditError::Etcd)?;
        let read = connection.read().await.map_err(EditError::Etcd)?;
        Ok((connection, read))
    }

    /// Checks what differs from what was read for every service that reads it, and writes it if nothing was written since.
    async fn change(
        &self,
        mut connection: Connection,
        read: Read,
        mut values: Values,
        write: bool,
    ) -> Result<Edited, EditError> {
        values.retain(|key, value| read.entries.get(key).map(|entry| &entry.value) != value.as_ref());
        let mut edited = Edited { revision: None, written: Vec::new(), deleted: Vec::new() };
        let mut after = read.entries.clone();
        let mut operations = Vec::new();
        for (key, value) in values {
            match value {
                Some(value) => {
                    operations.push(TxnOp::put(key.as_str(), &*value, None));
                    after.insert(key.clone(), Entry { value, revision: read.revision + 1 });
                    edited.written.push(key);
                }
                None => {
                    operations.push(TxnOp::delete(key.as_str(), None));
                    after.remove(&key);
                    edited.deleted.push(key);
                }
            }
        }
        self.check(&read.entries, &after)?;
        if !write || operations.is_empty() {
            return Ok(edited);
        }
        // Nothing below the prefix was written after what was checked. What was deleted is not seen by that: every edit writes a
        // key that no service reads.
        let below = format!("{}/", self.config.prefix);
        operations.push(TxnOp::put(format!("{below}{EDITED}"), read.revision.to_string(), None));
        let unchanged = Compare::mod_revision(below, CompareOp::Less, read.revision + 1).with_prefix();
        let answer = connection.transact(Txn::new().when([unchanged]).and_then(operations)).await;
        edited.revision = answer.map_err(EditError::Etcd)?;
        if edited.revision.is_some() { Ok(edited) } else { Err(EditError::Raced) }
    }

    /// Of the services that it changes something for.
    fn check(&self, before: &Entries, after: &Entries) -> Result<(), EditError> {
        for recipe in &self.recipes {
            let ours = recipe.ours(after);
            if ours != recipe.ours(before) {
                recipe
                    .load(&ours)
                    .map_err(|errors| EditError::Refused { service: recipe.service.clone(), errors })?;
            }
        }
        Ok(())
    }
}

/// What a tree has as the values of keys below `key`.
fn leaves(node: &Node, key: String, values: &mut Values, empty: &mut Vec<ConfigError>) {
    if let Kind::Table(table) = &node.kind {
        for (name, node) in table {
            if matches!(&node.kind, Kind::Table(table) if table.is_empty()) {
                let message =
                    "is an empty table, which has no key in etcd: give one of its values".to_owned();
                empty.push(ConfigError { origin: node.origin.clone(), path: name.clone(), message });
            }
            leaves(node, format!("{key}/{name}"), values, empty);
        }
    } else if let Some(value) = value(node) {
        values.insert(key, Some(Arc::from(written(value).as_bytes())));
    }
}

/// A value as it stands in etcd: a string as it is, unless that would be read as something else.
fn written(value: Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(&text).is_err() => text,
        other => other.to_string(),
    }
}

impl<T> std::fmt::Debug for Editor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Editor").field("config", &self.config).finish_non_exhaustive()
    }
}
