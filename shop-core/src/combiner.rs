use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// What a [`Combiner`] hands to its worker: commands in arrival order, at most [`CombinerConfig::max_batch`] of them.
pub type Batch<C> = Vec<C>;

/// How a [`Combiner`] gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CombinerConfig {
    /// The most commands in one batch.
    pub max_batch: usize,
    /// The most commands that wait; callers beyond that wait for room.
    pub queue: usize,
}

impl Default for CombinerConfig {
    fn default() -> Self {
        Self { max_batch: 256, queue: 4_096 }
    }
}

/// Group commit: many callers, one transaction, to each its own outcome.
///
/// A worker task takes all that waits, in arrival order, and runs it as one batch; while it runs, the next batch gathers.
/// An idle combiner adds no delay: a lone command is a batch of one at once.
///
/// # Cancel safety
/// A caller that goes away drops only its answer. What it submitted runs to its end.
pub struct Combiner<C, O> {
    queue: mpsc::Sender<(C, oneshot::Sender<O>)>,
}

/// The combiner's worker has stopped (its runtime shut down, or a batch panicked); the command's outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker of the batch has stopped")]
pub struct CombinerGone;

impl<C, O> Clone for Combiner<C, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<C, O> fmt::Debug for Combiner<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combiner").field("room", &self.queue.capacity()).finish_non_exhaustive()
    }
}

impl<C: Send + 'static, O: Send + 'static> Combiner<C, O> {
    /// Starts the worker on the current tokio runtime. `run` must give one outcome for each command, in order.
    ///
    /// The worker ends when the last clone of the combiner is dropped. A panic in `run` fails the callers of that batch
    /// with [`CombinerGone`]; the next batch runs as usual.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F, R>(config: CombinerConfig, run: F) -> Self
    where
        F: Fn(Batch<C>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<O>> + Send + 'static,
    {
        let (queue, mut waiting) = mpsc::channel::<(C, oneshot::Sender<O>)>(config.queue.max(1));
        let run = Arc::new(run);
        tokio::spawn(async move {
            let mut gathered = Vec::new();
            let max_batch = config.max_batch.max(1);
            while waiting.recv_many(&mut gathered, max_batch).await > 0 {
                gather(&mut waiting, &mut gathered, max_batch).await;
                let (commands, callers): (Vec<C>, Vec<oneshot::Sender<O>>) = gathered.drain(..).unzip();
                // A task of its own, so that a panic in one batch is not the end of all.
                match tokio::spawn(run(commands)).await {
                    Ok(outcomes) => {
                        debug_assert_eq!(outcomes.len(), callers.len(), "one outcome a command");
                        for (caller, outcome) in callers.into_iter().zip(outcomes) {
                            // A caller that went away does not want its answer.
                            let _ = caller.send(outcome);
                        }
                    }
                    Err(fault) => tracing::error!(error = %fault, "a batch failed; its callers are told"),
                }
            }
        });
        Self { queue }
    }

    /// Hands a command in and waits for its outcome.
    ///
    /// # Errors
    /// [`CombinerGone`] if the worker stopped or the batch panicked: the outcome is unknown.
    ///
    /// # Cancel safety
    /// Dropped before the command was queued: it does not run. After: it runs, its outcome is dropped.
    pub async fn submit(&self, command: C) -> Result<O, CombinerGone> {
        let (caller, outcome) = oneshot::channel();
        self.queue.send((command, caller)).await.map_err(|_| CombinerGone)?;
        outcome.await.map_err(|_| CombinerGone)
    }
}

/// Lets the tasks that are ready to run hand in what they have, before the batch is closed: callers that were answered
/// together come back together, a moment after the first of them. Waits for nobody.
async fn gather<T>(waiting: &mut mpsc::Receiver<T>, gathered: &mut Vec<T>, max_batch: usize) {
    let mut quiet = 0;
    while quiet < 3 && gathered.len() < max_batch {
        tokio::task::yield_now().await;
        quiet += 1;
        while gathered.len() < max_batch {
            let Ok(command) = waiting.try_recv() else { break };
            gathered.push(command);
            quiet = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use tokio::sync::Notify;

    #[tokio::test]
    async fn what_waits_is_one_batch_in_arrival_order() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Notify::new());
        let (seen, open) = (sizes.clone(), gate.clone());
        let combiner = Combiner::spawn(CombinerConfig::default(), move |batch: Vec<u32>| {
            let (seen, open) = (seen.clone(), open.clone());
            async move {
                seen.lock().unwrap().push(batch.clone());
                open.notified().await;
                batch.into_iter().map(|n| n * 2).collect()
            }
        });
        let callers: Vec<_> = (0..5)
            .map(|n| {
                let combiner = combiner.clone();
                tokio::spawn(async move { combiner.submit(n).await })
            })
            .collect();
        for (n, caller) in callers.into_iter().enumerate() {
            gate.notify_one();
            assert_eq!(caller.await.unwrap(), Ok(n as u32 * 2));
        }
        let sizes = sizes.lock().unwrap();
        assert_eq!(sizes.concat(), vec![0, 1, 2, 3, 4]);
        assert!(sizes.len() < 5, "some commands shared a batch: {sizes:?}");
    }

    #[tokio::test]
    async fn a_panic_fails_its_batch_only() {
        let combiner = Combiner::spawn(CombinerConfig::default(), |batch: Vec<u32>| async move {
            assert!(!batch.contains(&13), "unlucky");
            batch
        });
        assert_eq!(combiner.submit(13).await, Err(CombinerGone));
        assert_eq!(combiner.submit(1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_drops_only_its_answer() {
        let (done, mut ran) = mpsc::unbounded_channel();
        let combiner = Combiner::spawn(CombinerConfig::default(), move |batch: Vec<u32>| {
            let done = done.clone();
            async move {
                for n in &batch {
                    done.send(*n).unwrap();
                }
                batch
            }
        });
        let caller = tokio::spawn({
            let combiner = combiner.clone();
            async move { combiner.submit(7).await }
        });
        tokio::task::yield_now().await;
        caller.abort();
        assert_eq!(ran.recv().await, Some(7));
    }
}
