//! A server's configuration while it runs: as it started, and what its files and etcd make of it since.

use std::sync::Arc;
use std::time::Duration;

use shop_core::config::{Changes, Live, Loaded, Loader};
#[cfg(feature = "etcd")]
use shop_core::config::{LiveError, Watcher};
use shop_core::http::Admin;
use shop_core::log::{LogGuard, LogLevels};
use shop_core::process::{self, Failure};

use crate::config::{self, ShopConfig};

/// How often the files are looked at; a change is read at the second look that finds it.
const LOOK: Duration = Duration::from_secs(1);

/// What a server starts with.
pub(crate) struct Started {
    /// What it goes by until it ends, but for what changes while it runs.
    pub(crate) config: Arc<Loaded<ShopConfig>>,
    live: Live<ShopConfig>,
    #[cfg(feature = "etcd")]
    watcher: Watcher<ShopConfig>,
}

/// Where a server's configuration comes from, and what it is now.
#[derive(Debug)]
pub struct Source {
    boot: Arc<Loaded<ShopConfig>>,
    live: Live<ShopConfig>,
}

impl Source {
    /// What has changed since the server started, and changes from now on.
    pub(crate) fn changes(&self) -> Changes<ShopConfig> {
        self.live.changes_since(self.boot.clone())
    }

    /// Has `/status` tell.
    pub(crate) fn tell(&self, admin: Admin) -> Admin {
        let (source, live) = (self.live.status().to_string(), self.live.clone());
        let admin = admin.config_source(source);
        if !live.status().etcd {
            return admin;
        }
        admin.figure("etcd", move || serde_json::to_value(live.status()).unwrap_or_default())
    }
}

impl Started {
    /// Reads the configuration of the service `name`, which has the upstreams `in_process` in itself; from etcd too if it says so.
    #[cfg(feature = "etcd")]
    pub(crate) fn read(
        loader: Loader,
        name: &str,
        in_process: &'static [&'static str],
    ) -> Result<Self, Failure> {
        // Of its own: how many threads the process has is part of what is read, and nothing runs yet.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::fault(&error))?;
        let read = loader.live(name, move |config: &ShopConfig| config.violations(in_process));
        let (live, watcher) = runtime.block_on(read).map_err(|error| match error {
            LiveError::Config(errors) => config::bad(&errors),
            error => Failure::fault(&error),
        })?;
        Ok(Self { config: live.current(), live, watcher })
    }

    /// Reads the configuration of a process that has the upstreams `in_process` in itself.
    #[cfg(not(feature = "etcd"))]
    pub(crate) fn read(
        loader: Loader,
        _: &str,
        in_process: &'static [&'static str],
    ) -> Result<Self, Failure> {
        let read = loader.live_files(move |config: &ShopConfig| config.violations(in_process));
        let live = read.map_err(|errors| config::bad(&errors))?;
        Ok(Self { config: live.current(), live })
    }

    /// From now on files and etcd are followed, for as long as the runtime lives, and SIGHUP has the files read.
    pub(crate) fn follow(self, log: &LogGuard) -> Result<Source, Failure> {
        #[cfg(feature = "etcd")]
        tokio::spawn(self.watcher.run());
        tokio::spawn(self.live.clone().follow_files(LOOK));
        let live = self.live.clone();
        process::on_hangup(move || {
            let live = live.clone();
            async move {
                // What is wrong is told by the log.
                let _ = tokio::task::spawn_blocking(move || live.reload().is_ok()).await;
            }
        })
        .map_err(|error| Failure::fault(&error))?;
        let source = Source { boot: self.config.clone(), live: self.live };
        tokio::spawn(apply(self.config, source.changes(), log.levels()));
        Ok(source)
    }
}

const LEVEL: &str = "log.level";

/// Whether a key changes while the process runs: here, or in the gateway if it has one.
fn is_at_once(path: &str) -> bool {
    let below = |section: &str| {
        path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    path == LEVEL || ["routes", "upstreams", "gateway.limits"].into_iter().any(below)
}

/// Applies what can be applied, and says what waits for a restart.
async fn apply(boot: Arc<Loaded<ShopConfig>>, mut changes: Changes<ShopConfig>, levels: Option<LogLevels>) {
    let mut told = String::new();
    while let Some(change) = changes.next().await {
        if change.changed.iter().any(|changed| changed.path == LEVEL)
            && let Some(levels) = &levels
        {
            let level = &change.after.value.log.level;
            let origin = change.after.origin(LEVEL);
            match levels.set(level) {
                Ok(()) => tracing::info!(value = level, %origin, "{LEVEL} is in effect"),
                Err(error) => {
                    tracing::error!(value = level, %origin, error = %error, "{LEVEL} cannot be set")
                }
            }
        }
        let differs = boot.difference(&change.after).unwrap_or_default();
        let waits: Vec<String> = differs
            .iter()
            .filter(|changed| !is_at_once(&changed.path))
            .map(|changed| format!("{} ({})", changed.path, changed.origin))
            .collect();
        let waits = waits.join(", ");
        if waits != told {
            if waits.is_empty() {
                tracing::info!("nothing waits for a restart any more");
            } else {
                tracing::warn!(keys = waits, "the configuration has changed; these keys wait for a restart");
            }
            told = waits;
        }
    }
}
