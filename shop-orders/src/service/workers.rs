use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::core::Core;

/// How long a shutdown waits for the last settlements.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);
/// Rows that one round of housekeeping removes in one transaction.
const PURGE_BATCH: usize = 1_000;

/// The tasks behind a service. They end when this is dropped, or when it is told to stop.
#[derive(Debug)]
pub(crate) struct Workers {
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Ends when the last flow did.
    flows: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Workers {
    pub(crate) fn spawn(core: &Arc<Core>, flows: mpsc::Receiver<()>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(settling(core.clone(), stopped.clone())),
            tokio::spawn(recovering(core.clone(), stopped.clone())),
            tokio::spawn(housekeeping(core.clone(), stopped)),
        ];
        Self { stop, tasks: Mutex::new(tasks), flows: tokio::sync::Mutex::new(flows) }
    }

    /// Waits for the flows that run, stops the tasks, and sends what is still to be settled once more.
    pub(crate) async fn shutdown(&self, core: &Core) {
        core.flows.lock().unwrap_or_else(PoisonError::into_inner).take();
        while self.flows.lock().await.recv().await.is_some() {}
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(fault) = task.await {
                tracing::error!(error = %fault, "a worker of orders failed");
            }
        }
        match tokio::time::timeout(LAST_SETTLEMENTS, core.settle_all()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "settlements stay open; they are sent after the next start")
            }
            Err(_) => tracing::warn!("settlements stay open; they are sent after the next start"),
        }
    }
}

/// Waits, or returns `false` at once when it is time to stop.
async fn unless_stopped(stopped: &mut watch::Receiver<bool>, wait: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        // An error means that the service is gone.
        _ = stopped.wait_for(|stop| *stop) => false,
        () = wait => true,
    }
}

async fn settling(core: Arc<Core>, mut stopped: watch::Receiver<bool>) {
    let config = core.config.clone();
    let (mut failures, mut behind) = (0, false);
    loop {
        // Woken by a commit; and now and then all the same, for what a crashed instance left.
        let work = async {
            tokio::select! {
                // In this order, so that a simulation can be repeated.
                biased;
                () = core.settlements.notified() => tokio::time::sleep(config.settle_interval).await,
                () = tokio::time::sleep(config.recovery_interval) => {}
            }
        };
        if failures > 0 {
            let wait = tokio::time::sleep(config.settle_backoff.wait(failures - 1));
            if !unless_stopped(&mut stopped, wait).await {
                return;
            }
        } else if behind {
            if *stopped.borrow() {
                return;
            }
        } else if !unless_stopped(&mut stopped, work).await {
            return;
        }
        match core.settle_batch().await {
            // A full batch: there is more, and it has gathered long enough.
            Ok(batch) => (failures, behind) = (0, batch.claimed >= config.settle_batch && batch.closed > 0),
            Err(error) => {
                if failures % 20 == 0 {
                    tracing::warn!(%error, failures, "settlements are not acknowledged; they are sent again");
                }
                failures += 1;
            }
        }
    }
}

async fn recovering(core: Arc<Core>, mut stopped: watch::Receiver<bool>) {
    let mut failures = 0_u32;
    while unless_stopped(&mut stopped, tokio::time::sleep(core.config.recovery_interval)).await {
        match core.clone().recover().await {
            Ok(_) => failures = 0,
            Err(error) => {
                if failures.is_multiple_of(30) {
                    tracing::warn!(%error, failures, "recovery cannot ask; it tries again");
                }
                failures += 1;
            }
        }
        if let Err(error) = core.count_settlements().await {
            tracing::debug!(%error, "the open settlements could not be counted");
        }
    }
}

async fn housekeeping(core: Arc<Core>, mut stopped: watch::Receiver<bool>) {
    while unless_stopped(&mut stopped, tokio::time::sleep(core.config.maintenance_interval)).await {
        let now = core.clock.now();
        let (records, decisions) = (now.minus(core.config.record_ttl), now.minus(core.config.decision_ttl));
        loop {
            match core.store.purge(records, decisions, PURGE_BATCH).await {
                Ok(gone) if gone >= PURGE_BATCH as u64 && !*stopped.borrow() => {
                    tokio::task::yield_now().await
                }
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "housekeeping failed; it tries again");
                    break;
                }
            }
        }
    }
}
