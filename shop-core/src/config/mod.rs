//! Layered, typed configuration in which every value knows where it came from.
//!
//! Layers, lowest first; a higher one replaces single values, tables are merged, lists are replaced whole:
//!
//! 1. defaults: those of the type itself (`#[serde(default)]`)
//! 2. TOML files, later ones over earlier ones
//! 3. etcd, `<prefix>/common/section/key` under `<prefix>/<service>/section/key` (feature `etcd`; `Loader::live`)
//! 4. the environment, `SHOP__SECTION__KEY`
//! 5. flags
//!
//! Unknown keys are errors whether or not the type says so, and *all* faults are told at once, each with its file and line, its
//! variable or its flag. The environment is handed in, so a test never has to change its process's.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use shop_core::config::{HumanDuration, Loader};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! #[serde(default)]
//! struct Config { orders: Orders }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! #[serde(default)]
//! struct Orders { store: String, timeout: HumanDuration }
//!
//! # impl Default for Config { fn default() -> Self { Self { orders: Orders::default() } } }
//! # impl Default for Orders {
//! #     fn default() -> Self {
//! #         Self { store: "memory:".into(), timeout: std::time::Duration::from_secs(5).into() }
//! #     }
//! # }
//! let loaded = Loader::new()
//!     .text("shop.toml", "[orders]\nstore = \"sqlite:a\"\n")
//!     .env([("SHOP__ORDERS__TIMEOUT".to_owned(), "250ms".to_owned())])
//!     .load::<Config>()?;
//! assert_eq!(loaded.value.orders.store, "sqlite:a");
//! assert_eq!(
//!     loaded.explain()?.to_string(),
//!     "orders.store = \"sqlite:a\"  # shop.toml:2\norders.timeout = \"250ms\"  # SHOP__ORDERS__TIMEOUT\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod difference;
mod env;
mod error;
mod etcd;
mod explain;
mod file;
mod live;
mod loader;
mod origin;
mod reader;
mod secret;
mod stamp;
mod tree;

pub use self::difference::Changed;
pub use self::error::{ConfigError, ConfigErrors};
pub use self::etcd::EtcdConfig;
#[cfg(feature = "etcd")]
pub use self::etcd::{EditError, Edited, Editor, History, LiveError, Past, Watcher};
pub use self::explain::{Explained, Explanation};
pub use self::live::{Change, Changes, Live, Status};
pub use self::loader::{Loaded, Loader, Violation};
pub use self::origin::Origin;
pub use self::secret::{Secret, redact_url};
pub use crate::duration::HumanDuration;
pub use crate::size::ByteSize;
