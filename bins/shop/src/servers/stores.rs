use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shop_core::Clock;
use shop_core::process::Failure;
use shop_core::sqlite::SqliteConfig;
use shop_orders::OrderStore;
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_products::ProductStore;
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::sqlite::SqliteProductStore;

/// Where a service keeps its data: `memory:` or `sqlite:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Memory,
    Sqlite(PathBuf),
}

/// Closes a store once nothing uses it any more: a SQLite file is then whole by itself.
pub(super) type Close = Pin<Box<dyn Future<Output = ()> + Send>>;

impl StoreUrl {
    /// A SQLite file.
    pub fn sqlite(path: &Path) -> Self {
        Self(Kind::Sqlite(path.to_owned()))
    }

    /// Opens it for products; a new SQLite file and its folder are made.
    pub(super) async fn products(
        &self,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<dyn ProductStore>, Close), Failure> {
        match &self.0 {
            Kind::Memory => Ok((Arc::new(MemoryProductStore::with_clock(clock)), Box::pin(async {}))),
            Kind::Sqlite(path) => {
                make_folder(path)?;
                let store =
                    SqliteProductStore::connect_with(&self.to_string(), SqliteConfig::default(), clock).await;
                let store = Arc::new(store.map_err(|error| self.fault(&error))?);
                Ok((store.clone(), Box::pin(async move { store.close().await })))
            }
        }
    }

    /// Opens it for orders; a new SQLite file and its folder are made.
    pub(super) async fn orders(
        &self,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<dyn OrderStore>, Close), Failure> {
        match &self.0 {
            Kind::Memory => Ok((Arc::new(MemoryOrderStore::with_clock(clock)), Box::pin(async {}))),
            Kind::Sqlite(path) => {
                make_folder(path)?;
                let store =
                    SqliteOrderStore::connect_with(&self.to_string(), SqliteConfig::default(), clock).await;
                let store = Arc::new(store.map_err(|error| self.fault(&error))?);
                Ok((store.clone(), Box::pin(async move { store.close().await })))
            }
        }
    }

    /// Why it cannot be opened; an adapter need not say which store it is.
    fn fault(&self, error: &dyn std::error::Error) -> Failure {
        Failure::Fault(format!("{self}: {}", Failure::fault(error)))
    }
}

fn make_folder(file: &Path) -> Result<(), Failure> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| Failure::Fault(format!("{}: {error}", folder.display())))
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("{text:?} is no store: memory: or sqlite:PATH"));
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(Self(Kind::Memory)),
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    Err("sqlite: needs a path".into())
                } else {
                    Ok(Self::sqlite(Path::new(path)))
                }
            }
            // The rest of the URL may hold a password.
            _ => Err(format!("this build has no store for {scheme}: URLs; it has memory: and sqlite:PATH")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Memory => f.write_str("memory:"),
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}
