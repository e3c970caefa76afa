//! How far the receiver has acknowledged: a segment's number, an offset in it and a checksum, written in place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A place between two records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// The file. It need not be synced: an older or an unreadable cursor only sends events again.
#[derive(Debug)]
pub(super) struct Cursor(File);

impl Cursor {
    /// Opens it, with what it says; `None` if it says nothing.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Option<Position>)> {
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(dir.join("cursor"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((Self(file), read(&bytes)))
    }

    pub(super) fn write(&mut self, position: Position) -> io::Result<()> {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
        bytes[8..16].copy_from_slice(&position.offset.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&bytes)
    }
}

fn read(bytes: &[u8]) -> Option<Position> {
    let bytes: &[u8; 20] = bytes.try_into().ok()?;
    let (segment, rest) = bytes.split_first_chunk::<8>()?;
    let (offset, sum) = rest.split_first_chunk::<8>()?;
    let whole = sum == crc32fast::hash(&bytes[..16]).to_le_bytes();
    whole.then_some(Position { segment: u64::from_le_bytes(*segment), offset: u64::from_le_bytes(*offset) })
}
