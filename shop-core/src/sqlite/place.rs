//! Whether a database is still where it was opened.

use std::fs::{Metadata, metadata};
use std::io;
use std::path::PathBuf;

use crate::{StoreError, StoreErrorKind, StoreResult};

/// A file and its path. What is written to an open file that was removed, or replaced by a backup, is lost with the process,
/// and the system says nothing.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: FileId,
}

impl Place {
    /// Of a file that is there.
    pub(super) fn of(path: PathBuf) -> StoreResult<Self> {
        let file = metadata(&path).map(|file| id(&file));
        let file =
            file.map_err(|e| StoreError::new(StoreErrorKind::Unavailable, "open SQLite").with_source(e))?;
        Ok(Self { path, file })
    }

    /// Refuses if another file is there now, or none. It asks the system for one file, once.
    pub(super) fn check(&self, operation: &'static str) -> StoreResult<()> {
        let moved = match metadata(&self.path) {
            Ok(file) if id(&file) == self.file => return Ok(()),
            Ok(_) => io::Error::other("another file has taken its place; restart to use that one"),
            Err(error) => error,
        };
        let moved = format!("the database {} is not there any more: {moved}", self.path.display());
        Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_source(moved))
    }
}

/// Device and number.
#[cfg(unix)]
type FileId = (u64, u64);

#[cfg(unix)]
fn id(file: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Elsewhere an open file can be neither removed nor replaced.
#[cfg(not(unix))]
type FileId = ();

#[cfg(not(unix))]
fn id(_: &Metadata) -> FileId {}
