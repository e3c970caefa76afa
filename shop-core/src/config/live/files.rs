use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval};

use super::{Live, lock};
use crate::config::stamp::Stamp;

impl<T: DeserializeOwned + Serialize + Send + Sync + 'static> Live<T> {
    /// [`reload`](Live::reload)s whenever a file has changed and has rested since, which is looked for each `every`: a file that is
    /// being written is not read half. Never ends if there are files, and at once if there are none.
    ///
    /// # Panics
    /// Outside a tokio runtime that has time; if `every` is zero.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn follow_files(self, every: Duration) {
        let (paths, mut read): (Vec<PathBuf>, Vec<Option<Stamp>>) = {
            let core = lock(&self.core);
            (core.layers.paths().map(Path::to_owned).collect(), core.layers.stamps.clone())
        };
        if paths.is_empty() {
            return;
        }
        let look = || paths.iter().map(|path| Stamp::of(path)).collect::<Vec<_>>();
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = look();
        loop {
            ticks.tick().await;
            let now = look();
            if now == seen && now != read {
                let live = self.clone();
                // What is wrong is told by the log, once for each change; a panic was reported by its hook.
                let _ = tokio::task::spawn_blocking(move || live.reload().is_ok()).await;
                read.clone_from(&now);
            }
            seen = now;
        }
    }
}
