//! Takes events from the queue or the spool to the receiver, one window after the other.

use std::sync::Arc;

use super::batch::{Batch, MAX_EVENTS, Progress};
use super::fault::Fault;
use super::link::Link;
use super::spool::Spool;
use crate::log::queue::Queue;

/// Where the events are until they are delivered.
#[derive(Debug)]
pub(super) enum Source {
    Memory,
    Spool(Arc<Spool>),
}

#[derive(Debug)]
pub(super) struct Shipper {
    pub(super) source: Source,
    pub(super) queue: Arc<Queue>,
    pub(super) link: Link,
}

impl Shipper {
    /// Never ends.
    pub(super) async fn run(mut self) {
        let mut batch = Batch::default();
        let mut most = MAX_EVENTS;
        loop {
            self.next(&mut batch).await;
            while batch.left() > 0 {
                let connection = self.link.ready(|| waiting(&self.source, &self.queue)).await;
                let window = batch.window(most);
                let (sent, mut progress) = (window.len(), Progress::default());
                let outcome = connection.deliver(window, &mut progress).await;
                if progress.done > 0 {
                    self.done(&mut batch, progress);
                    self.link.went_well();
                }
                match outcome {
                    Ok(()) => most = (most * 2).min(MAX_EVENTS),
                    Err(Fault::Refused(why)) if sent == 1 => {
                        eprintln!("log: logstash: {why}: an event is dropped that it would never take");
                        self.done(&mut batch, Progress { done: 1, dropped: 1 });
                    }
                    // What is too much at once may be taken in parts, and what is refused is found.
                    Err(Fault::Refused(_)) => most = sent.div_ceil(2),
                    Err(Fault::Later(error)) => {
                        most = sent.div_ceil(2);
                        self.link.failed(&error, waiting(&self.source, &self.queue));
                    }
                }
            }
        }
    }

    async fn next(&self, batch: &mut Batch) {
        match &self.source {
            Source::Memory => {
                batch.clear();
                self.queue.take_soon(&mut batch.data).await;
                batch.split();
            }
            Source::Spool(spool) => match spool.next(batch).await {
                Ok(lost) => self.queue.count_dropped(lost),
                Err(error) => {
                    eprintln!("log: the spool cannot be read: {error}");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            },
        }
    }

    fn done(&self, batch: &mut Batch, progress: Progress) {
        let bytes = batch.advance(progress.done);
        let done = progress.done as u64;
        self.queue.count_dropped(progress.dropped);
        self.queue.count_written(done - progress.dropped);
        match &self.source {
            Source::Memory => self.queue.done(done),
            Source::Spool(spool) => spool.acknowledge(progress.done, bytes),
        }
    }
}

fn waiting(source: &Source, queue: &Queue) -> u64 {
    match source {
        Source::Memory => queue.waiting(),
        Source::Spool(spool) => queue.waiting() + spool.waiting(),
    }
}
