//! Common configuration in etcd: read at start, watched while the process runs.
//!
//! Everything below the prefix is read at one revision and watched from the next one on. What comes is always the whole of
//! etcd's values at a revision, and it is accepted whole or refused whole. Whatever ends a watch, a compaction, a restart,
//! another cluster, the answer is the same: wait a little, connect and authenticate anew, read everything, and apply what differs.

#[cfg(feature = "etcd")]
mod backoff;
#[cfg(feature = "etcd")]
mod connection;
#[cfg(feature = "etcd")]
mod editor;
#[cfg(feature = "etcd")]
mod entries;
#[cfg(feature = "etcd")]
mod history;
#[cfg(feature = "etcd")]
mod keeper;
#[cfg(feature = "etcd")]
mod mirror;
mod section;
#[cfg(feature = "etcd")]
mod snapshot;
#[cfg(feature = "etcd")]
mod start;
#[cfg(feature = "etcd")]
mod watcher;

#[cfg(feature = "etcd")]
pub use self::editor::{EditError, Edited, Editor};
#[cfg(feature = "etcd")]
pub use self::history::{History, Past};
pub use self::section::EtcdConfig;
#[cfg(feature = "etcd")]
pub use self::start::LiveError;
#[cfg(feature = "etcd")]
pub use self::watcher::Watcher;
