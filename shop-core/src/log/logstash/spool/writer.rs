//! The spool's end that is appended to; a blocking one, for a thread of its own.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Spool, segment};

/// How long a disk that takes nothing is left alone.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::log::logstash) struct Writer {
    spool: Arc<Spool>,
    /// The active segment, once it has a record.
    file: Option<File>,
    length: u64,
    records: Vec<u8>,
    /// When the first write was that is not synced.
    unsynced: Option<Instant>,
    refused: u64,
}

impl Writer {
    pub(in crate::log::logstash) fn new(spool: Arc<Spool>) -> Self {
        Self { spool, file: None, length: 0, records: Vec::new(), unsynced: None, refused: 0 }
    }

    /// Appends lines, each of which ends with a newline, and says how many are in as it goes. While the spool is full or the disk
    /// refuses it waits; once the spool is closed it does not, and gives up the rest.
    pub(in crate::log::logstash) fn append(&mut self, lines: &[u8], done: impl Fn(u64)) {
        let mut rest = lines.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = rest.peek() {
            let segment_bytes = self.spool.segment_bytes();
            if self.length > 0 && self.length + size(line) > segment_bytes {
                self.seal();
            }
            let Some(room) = self.room(size(line)) else { return };
            let room = room.min(segment_bytes - self.length);
            self.records.clear();
            let mut count = 0;
            while let Some(line) = rest.next_if(|line| self.records.len() as u64 + size(line) <= room) {
                segment::encode(line, &mut self.records);
                count += 1;
            }
            while let Err(error) = self.write() {
                if self.refused.is_multiple_of(60) {
                    eprintln!("log: {}: {error}; events wait in memory", self.spool.dir.display());
                }
                self.refused += 1;
                if self.pause() {
                    return;
                }
            }
            self.refused = 0;
            self.appended(count);
            done(count);
        }
    }

    /// How much may be appended, once that is enough; `None` when the spool was closed before.
    fn room(&self, needed: u64) -> Option<u64> {
        let state = self.spool.lock();
        let max = self.spool.max_bytes;
        let full = |state: &mut super::State| !state.closed && state.bytes + needed > max;
        let state = self.spool.room.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        let room = max.saturating_sub(state.bytes);
        (room >= needed).then_some(room)
    }

    /// Waits a while; whether the spool was closed.
    fn pause(&self) -> bool {
        let waited = self.spool.room.wait_timeout_while(self.spool.lock(), PAUSE, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = segment::path(&self.spool.dir, self.spool.lock().active);
                let file = none.insert(File::options().append(true).create(true).open(path)?);
                // Without it a power cut may take the whole file; what is not synced may be lost to one anyway.
                let _ = File::open(&self.spool.dir).and_then(|dir| dir.sync_all());
                file
            }
        };
        let written = file.write_all(&self.records);
        // What came of it is not a record: nothing may be appended after that.
        if written.is_err() && file.set_len(self.length).is_err() {
            self.seal();
        }
        written
    }

    fn appended(&mut self, records: u64) {
        let bytes = self.records.len() as u64;
        self.length += bytes;
        let mut state = self.spool.lock();
        let active = state.active;
        let extent = state.segments.entry(active).or_default();
        extent.length += bytes;
        extent.records += records;
        state.bytes += bytes;
        state.waiting += records;
        drop(state);
        self.spool.appended.notify_one();
        self.unsynced.get_or_insert_with(Instant::now);
        if self.sync_due().is_zero() {
            self.sync();
        }
    }

    /// Begins a new segment.
    pub(super) fn seal(&mut self) {
        self.sync();
        let mut state = self.spool.lock();
        state.active += 1;
        self.spool.move_on(&mut state);
        drop(state);
        self.file = None;
        self.length = 0;
    }

    /// How long a sync can wait.
    pub(in crate::log::logstash) fn sync_due(&self) -> Duration {
        match self.unsynced {
            Some(since) => self.spool.sync.saturating_sub(since.elapsed()),
            None => Duration::MAX,
        }
    }

    /// Syncs what was written since the last time, unless it is acknowledged already.
    pub(in crate::log::logstash) fn sync(&mut self) {
        if self.unsynced.take().is_some()
            && self.spool.waiting() > 0
            && let Some(Err(error)) = self.file.as_ref().map(File::sync_data)
        {
            eprintln!("log: {}: {error}; a power cut would lose events", self.spool.dir.display());
        }
    }
}

fn size(line: &[u8]) -> u64 {
    (segment::HEAD + line.len()) as u64
}
