use std::time::Duration;

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::entries::{COMMON, Entries, Entry};
use super::keeper::Recipe;
use super::section::EtcdConfig;
use super::start::{LiveError, section};
use crate::config::error::ConfigErrors;
use crate::config::{Loader, Violation};

/// How long etcd may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Changes common configuration as an operator does: checked for every service that reads it, and only on what was checked.
pub struct Editor<T> {
    config: EtcdConfig,
    recipes: Vec<Recipe<T>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// There is no such layer.
    #[error("{0:?} is no layer; there are {1}")]
    Layer(String, String),
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
            let check = Box::new(move |config: &T| check(service, config));
            Recipe { layers: layers.clone(), config: config.clone(), service: service.to_owned(), check }
        };
        let recipes = services.iter().map(recipe).collect();
        Ok(Some(Editor { config, recipes }))
    }
}

impl<T: DeserializeOwned + Serialize> Editor<T> {
    /// Writes (or with `None` deletes) keys, `log.level`, of a layer, `common` or a service, in one transaction. The revision of
    /// it.
    ///
    /// # Errors
    /// See [`EditError`].
    ///
    /// # Panics
    /// Outside a tokio runtime that has time and I/O.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have been written.
    pub async fn set(&self, layer: &str, values: &[(String, Option<String>)]) -> Result<i64, EditError> {
        if layer != COMMON && !self.recipes.iter().any(|recipe| recipe.service == layer) {
            let services: Vec<&str> = self.recipes.iter().map(|recipe| recipe.service.as_str()).collect();
            return Err(EditError::Layer(layer.to_owned(), format!("{COMMON}, {}", services.join(", "))));
        }
        let mut connection = Connection::open(&self.config, ANSWER).await.map_err(EditError::Etcd)?;
        let read = connection.read().await.map_err(EditError::Etcd)?;
        let (mut after, mut operations): (Entries, Vec<TxnOp>) = (read.entries, Vec::new());
        for (path, value) in values {
            let key = format!("{}/{layer}/{}", self.config.prefix, path.replace('.', "/"));
            operations.push(match value {
                Some(value) => {
                    let entry = Entry { value: value.as_bytes().into(), revision: read.revision + 1 };
                    after.insert(key.clone(), entry);
                    TxnOp::put(key, value.as_bytes(), None)
                }
                None => {
                    after.remove(&key);
                    TxnOp::delete(key, None)
                }
            });
        }
        for recipe in self.recipes.iter().filter(|recipe| layer == COMMON || recipe.service == layer) {
            recipe
                .load(&recipe.ours(&after))
                .map_err(|errors| EditError::Refused { service: recipe.service.clone(), errors })?;
        }
        // Nothing below the prefix was written after what was checked; what was deleted since is not seen by this, and is
        // checked by the services.
        let below = format!("{}/", self.config.prefix);
        let unchanged = Compare::mod_revision(below, CompareOp::Less, read.revision + 1).with_prefix();
        let answer = connection.transact(Txn::new().when([unchanged]).and_then(operations)).await;
        match answer.map_err(EditError::Etcd)? {
            Some(revision) => Ok(revision),
            None => Err(EditError::Raced),
        }
    }
}

impl<T> std::fmt::Debug for Editor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Editor").field("config", &self.config).finish_non_exhaustive()
    }
}
