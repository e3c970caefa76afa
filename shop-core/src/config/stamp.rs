use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// What tells a file from the one that was there before.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Links are followed: what is behind them counts. None: it is not there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: found.modified().ok(), length: found.len(), inode })
    }
}
