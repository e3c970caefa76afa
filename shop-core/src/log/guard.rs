//! What keeps the outputs alive, and says what became of the lines.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::init::LogLevels;
use super::layer::Shared;
use super::queue::Queue;

/// How long the end of a process waits for its last lines.
const SETTLE: Duration = Duration::from_secs(5);

/// What became of the lines so far: of an output, or summed over all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Written; by Logstash: acknowledged, also those that an earlier process left in the spool. `tcp://` and `udp://`
    /// acknowledge nothing: handed to the operating system.
    pub written: u64,
    /// Dropped because there was no room, or because Logstash would never take them.
    pub dropped: u64,
    /// Not written because of an error, such as a full disk.
    pub failed: u64,
    /// On their way, in memory.
    pub queued: u64,
    /// On their way, in the spool.
    pub spooled: u64,
}

/// An output that runs.
pub(super) struct Running {
    pub(super) queue: Arc<Queue>,
    pub(super) threads: Vec<JoinHandle<()>>,
    #[cfg(feature = "logstash")]
    pub(super) shipping: Option<super::logstash::Shipping>,
}

impl Running {
    /// Lines that are safe on a disk and not yet where they belong.
    fn spooled(&self) -> u64 {
        #[cfg(feature = "logstash")]
        if let Some(shipping) = &self.shipping {
            return shipping.spooled();
        }
        0
    }

    fn stats(&self) -> LogStats {
        LogStats {
            written: self.queue.written(),
            dropped: self.queue.dropped(),
            failed: self.queue.failed(),
            queued: self.queue.waiting(),
            spooled: self.spooled(),
        }
    }
}

/// Keeps the outputs alive. Dropped, it waits up to 5 s until every line is written, and tells stderr if some could not be. A
/// spool keeps what Logstash has not acknowledged by then for the next start; it is not waited for when nobody answers.
#[must_use = "dropped at once, it ends the log"]
pub struct LogGuard {
    shared: Arc<Shared>,
    outputs: Vec<Running>,
    pub(super) levels: Option<LogLevels>,
}

impl LogGuard {
    pub(super) fn new(shared: Arc<Shared>, outputs: Vec<Running>) -> Self {
        Self { shared, outputs, levels: None }
    }

    /// To set the levels; none where the subscriber is not [`init`](super::init)'s.
    pub fn levels(&self) -> Option<LogLevels> {
        self.levels.clone()
    }

    /// What became of the lines so far, summed over the outputs.
    pub fn stats(&self) -> LogStats {
        self.outputs.iter().map(Running::stats).fold(LogStats::default(), |sum, output| LogStats {
            written: sum.written + output.written,
            dropped: sum.dropped + output.dropped,
            failed: sum.failed + output.failed,
            queued: sum.queued + output.queued,
            spooled: sum.spooled + output.spooled,
        })
    }

    /// What became of the lines so far, by the name of the output: `stdout`, `file`, `logstash`.
    pub fn outputs(&self) -> impl Iterator<Item = (&'static str, LogStats)> {
        self.outputs.iter().map(|output| (output.queue.name, output.stats()))
    }

    /// Tells the process's recorder of metrics, if there is one, what became of the lines so far: `log_events_total` by `output`
    /// and `outcome`, `log_events_waiting` by `output` and `place`.
    #[cfg(feature = "http")]
    pub fn record_metrics(&self) {
        for (output, stats) in self.outputs() {
            for (outcome, count) in
                [("written", stats.written), ("dropped", stats.dropped), ("failed", stats.failed)]
            {
                metrics::counter!("log_events_total", "output" => output, "outcome" => outcome)
                    .absolute(count);
            }
            for (place, count) in [("memory", stats.queued), ("spool", stats.spooled)] {
                metrics::gauge!("log_events_waiting", "output" => output, "place" => place).set(count as f64);
            }
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + SETTLE;
        self.outputs.iter().for_each(|output| {
            output.queue.settle(deadline);
        });
        // With room again, what was dropped last can be told.
        self.shared.report_dropped();
        let left: u64 = self.outputs.iter().map(|output| output.queue.settle(deadline)).sum();
        #[cfg(feature = "logstash")]
        self.outputs.iter().filter_map(|output| output.shipping.as_ref()).for_each(|shipping| {
            shipping.settle(deadline);
            shipping.stop();
        });
        self.outputs.iter().for_each(|output| output.queue.close());
        for writer in self.outputs.iter_mut().flat_map(|output| output.threads.drain(..)) {
            // One that hangs in a write cannot be waited for.
            while !writer.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if writer.is_finished() && writer.join().is_err() {
                eprintln!("log: a writer panicked");
            }
        }
        if left > 0 {
            eprintln!("log: {left} lines were not written in time");
        }
        let spooled: u64 = self.outputs.iter().map(Running::spooled).sum();
        if spooled > 0 {
            eprintln!("log: {spooled} events stay in the spool until the next start");
        }
    }
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard").field("stats", &self.stats()).finish()
    }
}
