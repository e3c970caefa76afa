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
    // etcd has its place here, above the files and below the environment.
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
            Self::Env { name } | Self::Flag { name } => f.write_str(name),
        }
    }
}
