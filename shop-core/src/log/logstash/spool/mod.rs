//! Events on disk until the receiver has acknowledged them: a queue that survives the process.
//!
//! The folder has segments, files of records that are only ever appended to, and a cursor, which says what is acknowledged.
//! Appending is one write, so what was appended survives `kill -9`. The cursor moves after the acknowledgement and before a
//! segment is removed. What a crash has left of a record at a segment's end is cut off at the next start, which then begins a
//! segment of its own.

mod cursor;
mod segment;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use self::cursor::{Cursor, Position};
use self::segment::HEAD;
pub(super) use self::writer::Writer;
use super::batch::{Batch, MAX_BYTES, MAX_EVENTS};
use crate::log::logstash_config::SpoolConfig;

/// The largest segment; a small spool has smaller ones, so that room comes back before all of it is acknowledged.
const SEGMENT: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    sync: Duration,
    state: Mutex<State>,
    /// Something was removed, or the spool was closed.
    room: Condvar,
    /// Something was appended.
    appended: Notify,
    /// Locked for as long as this process has the folder.
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// By number; the last one may be the one that is appended to.
    segments: BTreeMap<u64, Extent>,
    /// The segment that is appended to. Its file is made with its first record.
    active: u64,
    /// What comes after the last acknowledged record.
    position: Position,
    /// Acknowledged records of the segment there.
    before: u64,
    cursor: Cursor,
    /// Records that are not acknowledged.
    waiting: u64,
    /// All segments together.
    bytes: u64,
    closed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    length: u64,
    records: u64,
}

impl Spool {
    /// Opens the folder, which is made if need be; says on stderr what was cut off.
    pub(super) fn open(dir: &Path, config: &SpoolConfig) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = File::options().write(true).create(true).truncate(false).open(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process has it"),
            TryLockError::Error(error) => error,
        })?;
        let (cursor, acknowledged) = Cursor::open(dir)?;
        let acknowledged = acknowledged.unwrap_or_default();
        let mut numbers: Vec<u64> = Vec::new();
        for entry in fs::read_dir(dir)? {
            numbers.extend(segment::number(&entry?.path()));
        }
        numbers.sort_unstable();
        let mut state = State {
            segments: BTreeMap::new(),
            active: numbers.last().copied().max(Some(acknowledged.segment)).unwrap_or(0) + 1,
            position: Position::default(),
            before: 0,
            cursor,
            waiting: 0,
            bytes: 0,
            closed: false,
        };
        for number in numbers {
            let path = segment::path(dir, number);
            if number < acknowledged.segment {
                fs::remove_file(path)?;
                continue;
            }
            let offset = if number == acknowledged.segment { acknowledged.offset } else { 0 };
            let file = File::options().read(true).write(true).open(&path)?;
            let found = segment::scan(&file, offset)?;
            let excess = file.metadata()?.len().saturating_sub(found.length);
            if excess > 0 {
                eprintln!(
                    "log: {}: {excess} B at its end are no whole event and are cut off",
                    path.display()
                );
                file.set_len(found.length)?;
            }
            if found.length == 0 {
                fs::remove_file(path)?;
                continue;
            }
            if state.segments.is_empty() {
                // An offset beyond the end was acknowledged before a power cut took the end away; one that is no record's
                // belongs to no cursor that was written for this segment.
                let (offset, before) = match found.before {
                    Some(before) => (offset, before),
                    None if offset > found.length => (found.length, found.records),
                    None => (0, 0),
                };
                (state.position, state.before) = (Position { segment: number, offset }, before);
                state.waiting = found.records - before;
            } else {
                state.waiting += found.records;
            }
            state.bytes += found.length;
            state.segments.insert(number, Extent { length: found.length, records: found.records });
        }
        if state.segments.is_empty() {
            state.position = Position { segment: state.active, offset: 0 };
        }
        let spool = Self {
            dir: dir.to_owned(),
            max_bytes: config.max_bytes.0,
            sync: config.sync.0,
            state: Mutex::new(state),
            room: Condvar::new(),
            appended: Notify::new(),
            _lock: lock,
        };
        spool.move_on(&mut spool.lock());
        Ok(spool)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that are not acknowledged.
    pub(super) fn waiting(&self) -> u64 {
        self.lock().waiting
    }

    /// From now on nothing waits for room.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    /// Waits until there are events, and reads the first that are not acknowledged. Gives the number of events that cannot be
    /// read any more, because the file was changed or removed, or the disk has lost them; those are passed over.
    ///
    /// # Errors
    /// If a file cannot be read now.
    ///
    /// # Cancel safety
    /// Nothing is lost: the next call reads the same.
    pub(super) async fn next(&self, batch: &mut Batch) -> io::Result<u64> {
        batch.clear();
        loop {
            let lost = self.read(batch)?;
            if lost > 0 || batch.left() > 0 {
                return Ok(lost);
            }
            self.appended.notified().await;
        }
    }

    fn read(&self, batch: &mut Batch) -> io::Result<u64> {
        let (position, extent, before) = {
            let mut state = self.lock();
            self.move_on(&mut state);
            let extent = state.segments.get(&state.position.segment).copied().unwrap_or_default();
            (state.position, extent, state.before)
        };
        let length = extent.length.saturating_sub(position.offset).min(MAX_BYTES as u64);
        if length == 0 {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        match File::open(segment::path(&self.dir, position.segment)) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(position.offset))?;
                file.take(length).read_to_end(&mut bytes)?;
            }
            // Below it is found to have no events.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut rest = &bytes[..];
        while batch.left() < MAX_EVENTS
            && let Some(line) = segment::decode(rest)
        {
            batch.push(line);
            rest = &rest[HEAD + line.len()..];
        }
        if batch.left() > 0 {
            return Ok(0);
        }
        let lost = extent.records - before;
        eprintln!("log: {} can no longer be read: {lost} events are lost", self.dir.display());
        self.pass(lost, extent.length - position.offset);
        Ok(lost)
    }

    /// The first events are acknowledged: so many, whose lines have so many bytes.
    pub(super) fn acknowledge(&self, events: usize, bytes: usize) {
        self.pass(events as u64, (events * HEAD + bytes) as u64);
    }

    fn pass(&self, records: u64, bytes: u64) {
        let mut state = self.lock();
        state.position.offset += bytes;
        state.before += records;
        state.waiting -= records;
        if !self.move_on(&mut state) {
            self.write_cursor(&mut state);
        }
    }

    /// Leaves and removes a segment that is acknowledged and that nothing is appended to any more.
    fn move_on(&self, state: &mut State) -> bool {
        let number = state.position.segment;
        let Some(extent) = state.segments.get(&number).copied() else { return false };
        if number == state.active || state.position.offset < extent.length {
            return false;
        }
        state.segments.remove(&number);
        state.bytes -= extent.length;
        let next = state.segments.keys().next().copied().unwrap_or(state.active);
        (state.position, state.before) = (Position { segment: next, offset: 0 }, 0);
        self.write_cursor(state);
        // If it stays, the next start removes it.
        let _ = fs::remove_file(segment::path(&self.dir, number));
        self.room.notify_all();
        true
    }

    fn write_cursor(&self, state: &mut State) {
        let position = state.position;
        if let Err(error) = state.cursor.write(position) {
            eprintln!("log: {}: cursor: {error}; the next start sends again", self.dir.display());
        }
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT.min(self.max_bytes / 4)
    }
}

#[cfg(test)]
mod tests;
