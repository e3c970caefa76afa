use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::loader::{Layers, Remote};
use crate::config::{Changed, Loaded, Origin, Violation};

pub(in crate::config) type Check<T> = Arc<dyn Fn(&T) -> Vec<Violation> + Send + Sync>;

/// Reads the layers as a configuration that can be shown too.
pub(in crate::config) fn load<T: DeserializeOwned + Serialize>(
    layers: &Layers,
    remote: Option<Remote>,
    check: &Check<T>,
) -> Result<Loaded<T>, ConfigErrors> {
    let loaded = layers.load(remote, |value| check(value))?;
    match loaded.explain() {
        Ok(_) => Ok(loaded),
        Err(error) => Err(ConfigErrors(vec![ConfigError {
            origin: Origin::Default,
            path: String::new(),
            message: error.to_string(),
        }])),
    }
}

/// The last good configuration, and what the next one is made of.
pub(in crate::config) struct Core<T> {
    pub(super) layers: Layers,
    remote: Option<Remote>,
    check: Check<T>,
    sender: watch::Sender<Arc<Loaded<T>>>,
}

impl<T: DeserializeOwned + Serialize> Core<T> {
    pub(in crate::config) fn new(
        layers: Layers,
        remote: Option<Remote>,
        check: Check<T>,
        loaded: Loaded<T>,
    ) -> Self {
        let (sender, _) = watch::channel(Arc::new(loaded));
        Self { layers, remote, check, sender }
    }

    /// Other values of etcd, with the files as they were read last. What differs, if they are accepted.
    #[cfg(feature = "etcd")]
    pub(in crate::config) fn offer(&mut self, remote: Remote) -> Result<Vec<Changed>, ConfigErrors> {
        let loaded = load(&self.layers, Some(remote.clone()), &self.check)?;
        self.remote = Some(remote);
        Ok(self.swap(loaded))
    }

    /// The files as they are now, with the values that etcd had last. What differs, if they are accepted.
    pub(super) fn reread(&mut self) -> Result<Vec<Changed>, ConfigErrors> {
        let layers = self.layers.reread();
        let loaded = load(&layers, self.remote.clone(), &self.check)?;
        self.layers = layers;
        Ok(self.swap(loaded))
    }

    fn swap(&self, loaded: Loaded<T>) -> Vec<Changed> {
        let changed = self.sender.borrow().difference(&loaded).unwrap_or_default();
        self.sender.send_replace(Arc::new(loaded));
        changed
    }
}

impl<T> Core<T> {
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Loaded<T>>> {
        self.sender.subscribe()
    }

    /// Once nobody reads the configuration any more.
    #[cfg(feature = "etcd")]
    pub(in crate::config) fn unread(&self) -> impl Future<Output = ()> + use<T> {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }
}
