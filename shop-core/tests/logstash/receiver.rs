//! A receiver of the tests' own: strict about what it is sent, and faulty where it is told to be.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a receiver does to one window, one request or one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Closes before it has read all of it.
    CloseWithin,
    /// Keeps the events, and closes without a word.
    CloseAfter,
    /// Keeps and acknowledges so many events, then closes.
    Part(u32),
    /// Keeps the events and says nothing.
    Silent,
    /// Does not even read.
    Hang,
    /// Keeps the events, says several times that it is still at it, then acknowledges in two steps.
    Slow,
    /// Answers with this status and keeps nothing.
    Status(u16),
    /// Acknowledges more than it was sent.
    TooMuch,
    /// Answers something else.
    Nonsense,
}

#[derive(Debug, Default)]
struct Kept {
    events: Vec<Value>,
    /// The ids of the events that the test has given a number.
    numbered: HashSet<String>,
}

/// Where events end, and the faults that are still to come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sink {
    kept: Arc<Mutex<Kept>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Answered with 400 if a body contains it.
    pub(crate) poison: Option<&'static str>,
    /// Answered with 413 if a body has more bytes.
    pub(crate) max_body: Option<usize>,
}

impl Sink {
    pub(crate) fn with(faults: &[Fault]) -> Self {
        let sink = Self::default();
        sink.faults.lock().unwrap().extend(faults);
        sink
    }

    /// One that refuses bodies that contain a text or are too large.
    pub(crate) fn refusing(poison: &'static str, max_body: usize) -> Self {
        Self { poison: Some(poison), max_body: Some(max_body), ..Self::default() }
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.faults.lock().unwrap().pop_front()
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    pub(crate) fn keep(&self, line: &[u8]) {
        let text = std::str::from_utf8(line).expect("events are UTF-8");
        assert!(!text.contains('\n'), "{text}");
        let event: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        for name in ["@timestamp", "@version", "message", "host", "type"] {
            assert!(event[name].is_string(), "{name}: {text}");
        }
        let mut kept = self.kept.lock().unwrap();
        if event["n"].is_u64() {
            kept.numbered.insert(event["event"]["id"].as_str().unwrap().to_owned());
        }
        kept.events.push(event);
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        self.kept.lock().unwrap().events.clone()
    }

    /// The events by their id. One that came twice was the same twice.
    pub(crate) fn unique(&self) -> Vec<Value> {
        let mut unique = BTreeMap::new();
        for event in self.all() {
            let id = event["event"]["id"].as_str().unwrap().to_owned();
            let before = unique.entry(id).or_insert_with(|| event.clone());
            assert_eq!(*before, event);
        }
        unique.into_values().collect()
    }

    /// The numbers that the test gave its events, sorted.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.unique().iter().filter_map(|event| event["n"].as_u64()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// What the stream says that it has lost.
    pub(crate) fn told(&self) -> u64 {
        self.unique().iter().filter_map(|event| event["shop"]["dropped"].as_u64()).sum()
    }

    /// Waits until so many different events of the test are there.
    pub(crate) fn wait_for(&self, count: usize) {
        until(&format!("{count} events"), || self.kept.lock().unwrap().numbered.len() >= count);
    }

    /// All of the test's events are there, and their sequence has no gap.
    #[track_caller]
    pub(crate) fn is_complete(&self, count: u64) {
        let mut sequence: Vec<u64> =
            self.unique().iter().map(|event| event["event"]["sequence"].as_u64().unwrap()).collect();
        sequence.sort_unstable();
        for found in [self.numbers(), sequence] {
            let gap = found.iter().zip(0..).find(|(found, expected)| **found != *expected);
            assert_eq!((found.len() as u64, gap), (count, None));
        }
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One that is not down.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    stop: Stop,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Says that the receiver is to go down.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn wait(&self) {
        while !self.is_set() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Serves one connection until it ends; an error ends it too.
pub(crate) type Serve = fn(TcpStream, &Sink, &Stop) -> io::Result<()>;

impl Receiver {
    pub(crate) fn start(serve: Serve, sink: &Sink) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), serve, sink)
    }

    pub(crate) fn start_at(address: SocketAddr, serve: Serve, sink: &Sink) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, sink) = (Stop::default(), sink.clone());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                let mut open: Vec<TcpStream> = Vec::new();
                while !stopped.is_set() {
                    let Ok((stream, _)) = listener.accept() else {
                        std::thread::sleep(Duration::from_millis(2));
                        continue;
                    };
                    stream.set_nonblocking(false).unwrap();
                    open.push(stream.try_clone().unwrap());
                    let (sink, stopped) = (&sink, &stopped);
                    scope.spawn(move || {
                        let copy = stream.try_clone().unwrap();
                        // Broken connections are what is tested.
                        let _ = serve(stream, sink, stopped);
                        let _ = copy.shutdown(std::net::Shutdown::Both);
                    });
                }
                for stream in open {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
            });
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Goes down, and its connections with it.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.0.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the receiver was sent what it must not be sent"
            );
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
    }
}

/// An address at which nobody listens, for now.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
