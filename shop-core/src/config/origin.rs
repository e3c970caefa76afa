//! Where a value came from.

use std::fmt;
use std::sync::Arc;

/// Where a value came from, lowest layer first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The program itself.
    Default,
    /// A TOML file.
    File {
        /// As it was named.
        path: Arc<str>,
        /// Counted from 1.
        line: usize,
    },
    /// A key of etcd.
    Etcd {
        /// Whole, with the prefix.
        key: Arc<str>,
        /// When it was written last: etcd's `mod_revision`.
        revision: i64,
    },
    /// A variable of the environment.
    Env {
        /// Its name.
        name: Arc<str>,
    },
    /// A flag of the command line.
    Flag {
        /// Its name, with the dashes.
        name: Arc<str>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Etcd { key, revision } => write!(f, "{key}@{revision}"),
            Self::Env { name } | Self::Flag { name } => f.write_str(name),
        }
    }
}
