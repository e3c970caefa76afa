//! A segment's bytes: records, each a length, a checksum and an event's line.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::log::encode::MAX_LINE;

/// Length and checksum, little-endian 32 bits each. The checksum (CRC-32) is of the length and the line, so that no run of
/// zeros, which a power cut may leave, is a record.
pub(super) const HEAD: usize = 8;

/// Where the segment of a number is.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.spool"))
}

/// The number of the segment that a file is.
pub(super) fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".spool")?;
    name.parse().ok()
}

/// Appends a record.
pub(super) fn encode(line: &[u8], out: &mut Vec<u8>) {
    let length = (line.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, line).to_le_bytes());
    out.extend_from_slice(line);
}

fn checksum(length: [u8; 4], line: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(line);
    hasher.finalize()
}

/// The line of the record that `bytes` begin with; `None` if they begin with none, or with a part of one.
pub(super) fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*length) as usize;
    let line = rest.get(..size).filter(|_| size <= MAX_LINE)?;
    (checksum(*length, line) == u32::from_le_bytes(*sum)).then_some(line)
}

/// What a segment has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Whole records.
    pub(super) records: u64,
    /// How long they are together.
    pub(super) length: u64,
    /// Those of them before `offset`; `None` if no record begins or ends there.
    pub(super) before: Option<u64>,
}

/// Reads a segment up to its end, or to the first record that is not whole.
pub(super) fn scan(file: &File, offset: u64) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut found = Scan { before: (offset == 0).then_some(0), ..Scan::default() };
    let mut record = Vec::new();
    loop {
        record.clear();
        reader.by_ref().take(HEAD as u64).read_to_end(&mut record)?;
        let Some(length) = record.first_chunk::<4>() else { return Ok(found) };
        let size = u32::from_le_bytes(*length) as usize;
        if size > MAX_LINE {
            return Ok(found);
        }
        reader.by_ref().take(size as u64).read_to_end(&mut record)?;
        if decode(&record).is_none() {
            return Ok(found);
        }
        found.records += 1;
        found.length += record.len() as u64;
        if found.length == offset {
            found.before = Some(found.records);
        }
    }
}
