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
    /// Newer ones that were refused: each may be good once the other has changed.
    refused_layers: Option<Layers>,
    refused_remote: Option<Remote>,
    check: Check<T>,
    sender: watch::Sender<Arc<Loaded<T>>>,
}

/// What reading the files again came to.
pub(super) struct Reread {
    pub(super) changed: Vec<Changed>,
    /// Whether values of etcd that were refused before are accepted with it.
    pub(super) remote: bool,
}

impl<T: DeserializeOwned + Serialize> Core<T> {
    pub(in crate::config) fn new(
        layers: Layers,
        remote: Option<Remote>,
        check: Check<T>,
        loaded: Loaded<T>,
    ) -> Self {
        let (sender, _) = watch::channel(Arc::new(loaded));
        Self { layers, remote, refused_layers: None, refused_remote: None, check, sender }
    }

    /// Other values of etcd, with the newest files that they are good with. What differs, if they are accepted.
    #[cfg(feature = "etcd")]
    pub(in crate::config) fn offer(&mut self, remote: Remote) -> Result<Vec<Changed>, ConfigErrors> {
        let newer =
            self.refused_layers.take_if(|layers| load(layers, Some(remote.clone()), &self.check).is_ok());
        let layers = newer.unwrap_or_else(|| self.layers.clone());
        match load(&layers, Some(remote.clone()), &self.check) {
            Ok(loaded) => {
                (self.layers, self.remote, self.refused_remote) = (layers, Some(remote), None);
                Ok(self.swap(loaded))
            }
            Err(errors) => {
                self.refused_remote = Some(remote);
                Err(errors)
            }
        }
    }

    /// The files as they are now, with the newest values of etcd that they are good with.
    pub(super) fn reread(&mut self) -> Result<Reread, ConfigErrors> {
        let layers = self.layers.reread();
        let newer =
            self.refused_remote.take_if(|remote| load(&layers, Some(remote.clone()), &self.check).is_ok());
        let (adopted, remote) = (newer.is_some(), newer.or_else(|| self.remote.clone()));
        match load(&layers, remote.clone(), &self.check) {
            Ok(loaded) => {
                (self.layers, self.remote, self.refused_layers) = (layers, remote, None);
                Ok(Reread { changed: self.swap(loaded), remote: adopted })
            }
            Err(errors) => {
                self.refused_layers = Some(layers);
                Err(errors)
            }
        }
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
