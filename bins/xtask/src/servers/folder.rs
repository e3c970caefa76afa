use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::run::Result;

/// Names the process whose folder it is.
const PREFIX: &str = "shop-servers-";

/// A folder for temporary files, which others may enter; removed when dropped.
///
/// Not in the target folder: `PostgreSQL` runs as a user who may not be allowed there.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{PREFIX}{}-{count}-{name}", std::process::id()));
        let made = std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is removed by the next run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes the folders of processes that are gone.
pub(super) fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            // Another user's, or removed by another run just now.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
