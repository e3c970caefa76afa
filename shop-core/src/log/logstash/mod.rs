//! Events to Logstash: a queue, a spool if there is one, and threads of its own that do the I/O.

mod batch;
mod fault;
mod http;
mod link;
mod lumberjack;
mod shipper;
mod spool;
mod stream;
mod tcp;
mod udp;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::link::Link;
use self::shipper::{Shipper, Source};
use self::spool::{Spool, Writer};
use super::guard::Running;
use super::init::LogError;
use super::logstash_config::{LogstashConfig, LogstashOverflow};
use super::queue::{Policy, Queue};

/// What the guard needs of the threads.
#[derive(Debug)]
pub(super) struct Shipping {
    spool: Option<Arc<Spool>>,
    stop: Arc<Notify>,
    down: Arc<AtomicBool>,
}

impl Shipping {
    /// Events that are in the spool.
    pub(super) fn spooled(&self) -> u64 {
        self.spool.as_ref().map_or(0, |spool| spool.waiting())
    }

    /// Waits until the spool is empty, nobody answers, or the time is up.
    pub(super) fn settle(&self, deadline: Instant) {
        while self.spooled() > 0 && !self.down.load(Ordering::Relaxed) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends nothing more.
    pub(super) fn stop(&self) {
        if let Some(spool) = &self.spool {
            spool.close();
        }
        self.stop.notify_one();
    }
}

/// Opens the spool and starts the threads. Connects to nothing: a receiver that is away keeps nobody from starting.
pub(super) fn start(config: &LogstashConfig, queue: u64, service: &str) -> Result<Running, LogError> {
    let policy = match config.overflow {
        LogstashOverflow::Drop => Policy::Drop,
        LogstashOverflow::DropByLevel => Policy::DropByLevel,
        LogstashOverflow::Block => Policy::Block(Some(config.block_for.0)),
    };
    let queue = Arc::new(Queue::new("logstash", queue, policy));
    let mut threads = Vec::new();
    let mut spool = None;
    if let Some(settings) = &config.spool {
        let dir = settings.dir.join(service);
        let opened = Spool::open(&dir, settings)
            .map_err(|source| LogError::Spool { dir: dir.display().to_string(), source })?;
        let opened = Arc::new(opened);
        threads.push(fill(queue.clone(), Writer::new(opened.clone())).map_err(LogError::Thread)?);
        spool = Some(opened);
    }
    let source = spool.clone().map_or(Source::Memory, Source::Spool);
    let (stop, down) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let link = Link::new(config.clone(), down.clone());
    let shipper = Shipper { source, queue: queue.clone(), link };
    threads.push(ship(shipper, stop.clone()).map_err(LogError::Thread)?);
    Ok(Running { queue, threads, shipping: Some(Shipping { spool, stop, down }) })
}

/// The thread that moves events from the queue to the spool.
fn fill(queue: Arc<Queue>, mut writer: Writer) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("log-spool".into()).spawn(move || {
        let mut batch = Vec::new();
        while queue.take(&mut batch, writer.sync_due()).is_some() {
            writer.append(&batch, |lines| queue.done(lines));
            batch.clear();
            batch.shrink_to(super::output::KEEP);
            if writer.sync_due().is_zero() {
                writer.sync();
            }
        }
        writer.sync();
    })
}

/// The thread that sends events, on a runtime of its own, so that no task of the process can hold it up.
fn ship(shipper: Shipper, stop: Arc<Notify>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("log-logstash".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = shipper.run() => {}
                () = stop.notified() => {}
            }
        });
        // A look-up of a name cannot be cancelled and must not keep the process.
        runtime.shutdown_background();
    })
}
