//! A writer on a thread of its own, with everything counted that goes in, out or nowhere.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::config::{LogConfig, Overflow};

/// What goes into the writer's buffer before it goes to the system; it is flushed whenever nothing waits.
const BUFFER: usize = 64 << 10;

/// Counts of one output.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Lines handed to the writer or dropped.
    offered: AtomicU64,
    /// Lines that the writer thread took and wrote.
    written: AtomicU64,
    /// Lines that the writer thread took and could not write.
    failed: AtomicU64,
    /// Dropped lines that the stream has told of.
    reported: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Output {
    writer: NonBlocking,
    dropped: ErrorCounter,
    counts: Arc<Counts>,
    queue: u64,
}

impl Output {
    pub(super) fn start(
        name: &'static str,
        config: &LogConfig,
        writer: impl Write + Send + 'static,
    ) -> (Arc<Self>, WorkerGuard) {
        let counts = Arc::new(Counts::default());
        let counted = Counted {
            name,
            inner: BufWriter::with_capacity(BUFFER, writer),
            counts: counts.clone(),
        };
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(config.queue.max(1))
            .lossy(config.overflow == Overflow::Drop)
            .thread_name(name)
            .finish(counted);
        let dropped = writer.error_counter();
        (
            Arc::new(Self {
                writer,
                dropped,
                counts,
                queue: config.queue.max(1) as u64,
            }),
            guard,
        )
    }

    pub(super) fn send(&self, line: &[u8]) {
        self.counts.offered.fetch_add(1, Ordering::Relaxed);
        // Fails only when the writer thread has ended, after the guard: nothing could be done about it any more.
        let _ = self.writer.clone().write_all(line);
    }

    /// Dropped lines that nobody has told of yet, which the caller now does: how many, and how many since the start. Only when
    /// there is room again, since a report that is dropped too would tell nobody.
    pub(super) fn take_dropped(&self) -> Option<(u64, u64)> {
        let dropped = self.dropped();
        let reported = self.counts.reported.load(Ordering::Relaxed);
        if dropped <= reported || self.waiting() > self.queue / 2 {
            return None;
        }
        let claimed = self
            .counts
            .reported
            .compare_exchange(reported, dropped, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        claimed.then_some((dropped - reported, dropped))
    }

    fn waiting(&self) -> u64 {
        let done = self.written() + self.failed() + self.dropped();
        self.counts.offered.load(Ordering::Relaxed).saturating_sub(done)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }

    pub(super) fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }

    /// Waits until all that was handed over has been written, or the time is up; says how many lines were not.
    pub(super) fn settle(&self, within: Duration) -> u64 {
        let deadline = Instant::now() + within;
        loop {
            let left = self.waiting();
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The writer thread's end. A line that cannot be written is counted and told on stderr, never in the stream itself.
struct Counted<W: Write> {
    name: &'static str,
    inner: BufWriter<W>,
    counts: Arc<Counts>,
}

impl<W: Write> Counted<W> {
    fn failed(&self, lines: u64, error: &io::Error) {
        let before = self.counts.failed.fetch_add(lines, Ordering::Relaxed);
        // The first, and then one in a thousand: a full disk must not fill stderr as well.
        if before.is_multiple_of(1000) {
            eprintln!(
                "log: {}: a line cannot be written ({} so far): {error}",
                self.name,
                before + lines
            );
        }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match self.inner.write_all(line) {
            Ok(()) => {
                self.counts.written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.failed(1, &error),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Err(error) = self.inner.flush() {
            // What is in the buffer stays there and is tried again.
            self.failed(0, &error);
        }
        Ok(())
    }
}
