use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::Connection;
use super::keeper::{Keeper, Recipe, snapshot};
use super::mirror::Read;
use super::section::EtcdConfig;
use super::snapshot::{Snapshot, path_of};
use super::watcher::Watcher;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::live::{Check, Core, Live, Status, load};
use crate::config::loader::{Layers, read};
use crate::config::tree::{Node, Step};
use crate::config::{Loader, Origin, Violation};

/// How long a start waits for etcd. Reading the snapshot and all else has the rest of 3 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The configuration is bad: every fault of every layer.
    #[error(transparent)]
    Config(ConfigErrors),
    /// etcd cannot be read, and there is no snapshot to start from.
    #[error("etcd ({endpoints}) cannot be read: {reason}; {snapshot}")]
    #[non_exhaustive]
    Unreachable {
        /// Who was asked.
        endpoints: String,
        /// What came of it.
        reason: String,
        /// Why the snapshot is of no use.
        snapshot: String,
    },
}

/// The part of any configuration that says where the rest is.
#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    etcd: Option<EtcdConfig>,
}

impl Loader {
    /// Reads all layers as `T` with those of etcd, which the layers' own `[etcd]` ([`EtcdConfig`]) names: `<prefix>/common/…` and
    /// over it `<prefix>/<service>/…`. Etcd is asked for 2 s at most, then the snapshot of the last
    /// good values is taken, as it is when etcd holds a bad configuration.
    ///
    /// The [`Live`] value changes while [`Watcher::run`] runs; until then nothing is watched, logged or kept on disk, and no
    /// connection is open. Without an `[etcd]` it changes with [`Live::reload`] alone. `T` must have a field `etcd: Option<EtcdConfig>`, since
    /// unknown keys are errors.
    ///
    /// ```no_run
    /// use serde::{Deserialize, Serialize};
    /// use shop_core::config::{EtcdConfig, Loader};
    ///
    /// #[derive(Debug, Default, Serialize, Deserialize)]
    /// #[serde(default)]
    /// struct Config { etcd: Option<EtcdConfig>, limits: Limits }
    ///
    /// #[derive(Debug, Default, Serialize, Deserialize)]
    /// #[serde(default)]
    /// struct Limits { in_flight: usize }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let file = "[etcd]\nendpoints = [\"http://127.0.0.1:2379\"]\nsnapshot = \"state/config.json\"\n";
    /// let loader = Loader::new().text("app.toml", file).env_os(std::env::vars_os());
    /// let (live, watcher) = loader.live::<Config>("app", |_| Vec::new()).await?;
    /// tokio::spawn(watcher.run());
    ///
    /// // etcdctl put /shop/common/limits/in_flight 64
    /// println!("{}", live.current().value.limits.in_flight);
    /// let mut changes = live.changes();
    /// while let Some(change) = changes.next().await {
    ///     for changed in &change.changed {
    ///         println!("{} is {:?} now, by {}", changed.path, changed.after, changed.origin);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A bad configuration; etcd cannot be read and there is no snapshot either.
    ///
    /// # Panics
    /// Outside a tokio runtime that has time and I/O.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn live<T: DeserializeOwned + Serialize>(
        self,
        service: &str,
        check: impl Fn(&T) -> Vec<Violation> + Send + Sync + 'static,
    ) -> Result<(Live<T>, Watcher<T>), LiveError> {
        let layers = self.layers();
        let check: Check<T> = Arc::new(check);
        let Some(config) = section(&layers)? else {
            let loaded = load(&layers, None, &check).map_err(LiveError::Config)?;
            let core = Core::new(layers, None, check, loaded);
            return Ok((Live::new(Arc::new(Mutex::new(core)), Arc::default()), Watcher::idle()));
        };
        let recipe = Recipe { layers, config, service: service.to_owned(), check };
        let refused = match reach(&recipe.config).await {
            Ok(found) => {
                let entries = recipe.ours(&found.entries);
                match recipe.load(&entries) {
                    Ok(loaded) => {
                        let unkept = snapshot(&recipe, &entries, found.revision);
                        let revision = Some(found.revision);
                        let status = Status { etcd: true, revision, seen: revision, ..Status::default() };
                        let (keeper, live) = Keeper::new(recipe, entries, loaded, status);
                        return Ok((live, Watcher::new(keeper, unkept)));
                    }
                    Err(errors) => Refused::Bad(errors),
                }
            }
            Err(reason) => Refused::Unread(reason),
        };
        from_snapshot(recipe, refused)
    }
}

/// Why etcd's values cannot be started with.
enum Refused {
    Bad(ConfigErrors),
    Unread(String),
}

fn from_snapshot<T: DeserializeOwned + Serialize>(
    recipe: Recipe<T>,
    refused: Refused,
) -> Result<(Live<T>, Watcher<T>), LiveError> {
    let kept = match path_of(&recipe.config, &recipe.service) {
        Some(path) => Snapshot::read(&path, &recipe.config.prefix, &recipe.service)
            .map_err(|why| format!("the snapshot is of no use: {why}")),
        None => Err("there is no etcd.snapshot to start from".to_owned()),
    };
    let kept = kept.and_then(|kept| match recipe.load(&kept.entries) {
        Ok(loaded) => Ok((kept, loaded)),
        Err(errors) => Err(format!("the snapshot is of no use:\n{errors}")),
    });
    match (kept, refused) {
        (Ok((kept, loaded)), refused) => {
            let refused = Some(match refused {
                Refused::Bad(errors) => errors.to_string(),
                Refused::Unread(reason) => reason,
            });
            let revision = Some(kept.revision);
            let status = Status { etcd: true, revision, from_snapshot: true, refused, ..Status::default() };
            let (keeper, live) = Keeper::new(recipe, kept.entries, loaded, status);
            Ok((live, Watcher::new(keeper, None)))
        }
        (Err(_), Refused::Bad(errors)) => Err(LiveError::Config(errors)),
        (Err(snapshot), Refused::Unread(reason)) => {
            Err(LiveError::Unreachable { endpoints: recipe.config.endpoints.join(", "), reason, snapshot })
        }
    }
}

/// Where etcd is, from the layers below it and above it.
pub(super) fn section(layers: &Layers) -> Result<Option<EtcdConfig>, LiveError> {
    let mut faults = Vec::new();
    let whole = layers.tree(None, &mut faults);
    let step = [Step::Key("etcd".into())];
    let Some(node) = whole.get(&step) else { return Ok(None) };
    // What else is wrong is told with the whole: etcd may have it otherwise.
    faults.retain(|fault| fault.path.is_empty() || fault.path.starts_with("etcd."));
    let mut tree = Node::table(Origin::Default);
    tree.put(&["etcd"], node.clone());
    let section = read::<Section>(&mut tree, &mut faults).and_then(|section| section.etcd);
    if let Some(config) = &section {
        faults.extend(config.violations().into_iter().map(|violation| {
            let path: Vec<Step> = violation.path.split('.').map(Step::of).collect();
            ConfigError { origin: tree.origin_of(&path), path: violation.path, message: violation.message }
        }));
    }
    if faults.is_empty() { Ok(section) } else { Err(LiveError::Config(ConfigErrors(faults))) }
}

/// Reads etcd, again and again while it refuses, until it has had its time.
async fn reach(config: &EtcdConfig) -> Result<Read, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = format!("no answer within {} ms", PATIENCE.as_millis());
    loop {
        let read = async { Connection::open(config, PATIENCE).await?.read().await };
        match timeout_at(deadline, read).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(reason)) => last = reason,
            Err(_) => return Err(last),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(last);
        }
        sleep(PAUSE).await;
    }
}
