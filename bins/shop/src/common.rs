//! A server's configuration while it runs: as it started, and what etcd makes of it since.

use std::sync::Arc;

#[cfg(feature = "etcd")]
use shop_core::config::{Live, LiveError, Watcher};
use shop_core::config::{Loaded, Loader};
use shop_core::http::Admin;
use shop_core::log::LogGuard;
use shop_core::process::Failure;

use crate::config::{self, ShopConfig};

/// What a server starts with.
pub(crate) struct Started {
    /// What it goes by until it ends, but for what changes while it runs.
    pub(crate) config: Arc<Loaded<ShopConfig>>,
    #[cfg(feature = "etcd")]
    live: Live<ShopConfig>,
    #[cfg(feature = "etcd")]
    watcher: Watcher<ShopConfig>,
}

/// Where a server's configuration comes from, for `/status`.
#[derive(Debug)]
pub struct Source {
    #[cfg(feature = "etcd")]
    live: Live<ShopConfig>,
}

impl Source {
    /// Has it told.
    pub(crate) fn tell(&self, admin: Admin) -> Admin {
        #[cfg(feature = "etcd")]
        {
            let (source, live) = (self.live.status().to_string(), self.live.clone());
            let admin = admin.config_source(source);
            if !live.status().etcd {
                return admin;
            }
            admin.figure("etcd", move || serde_json::to_value(live.status()).unwrap_or_default())
        }
        #[cfg(not(feature = "etcd"))]
        admin.config_source("files, environment and flags")
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
        config::load(loader, in_process).map(|loaded| Self { config: Arc::new(loaded) })
    }

    /// From now on etcd is followed, for as long as the runtime lives.
    #[cfg(feature = "etcd")]
    pub(crate) fn follow(self, log: &LogGuard) -> Source {
        tokio::spawn(self.watcher.run());
        tokio::spawn(apply(self.config, self.live.changes(), log.levels()));
        Source { live: self.live }
    }

    /// Nothing changes.
    #[cfg(not(feature = "etcd"))]
    pub(crate) fn follow(self, _: &LogGuard) -> Source {
        Source {}
    }
}

/// What changes while the process runs.
#[cfg(feature = "etcd")]
const AT_ONCE: &str = "log.level";

/// Applies what can be applied, and says what waits for a restart.
#[cfg(feature = "etcd")]
async fn apply(
    boot: Arc<Loaded<ShopConfig>>,
    mut changes: shop_core::config::Changes<ShopConfig>,
    levels: Option<shop_core::log::LogLevels>,
) {
    let mut told = String::new();
    while let Some(change) = changes.next().await {
        if change.changed.iter().any(|changed| changed.path == AT_ONCE)
            && let Some(levels) = &levels
        {
            let level = &change.after.value.log.level;
            let origin = change.after.origin(AT_ONCE);
            match levels.set(level) {
                Ok(()) => tracing::info!(value = level, %origin, "{AT_ONCE} is in effect"),
                Err(error) => {
                    tracing::error!(value = level, %origin, error = %error, "{AT_ONCE} cannot be set")
                }
            }
        }
        let differs = boot.difference(&change.after).unwrap_or_default();
        let waits: Vec<String> = differs
            .iter()
            .filter(|changed| changed.path != AT_ONCE)
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
