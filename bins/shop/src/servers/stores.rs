use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
#[cfg(any(feature = "mongodb", feature = "postgres"))]
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shop_core::Clock;
use shop_core::config::redact_url;
use shop_core::process::Failure;
use shop_core::sqlite::SqliteConfig;
#[cfg(any(feature = "mongodb", feature = "postgres"))]
use shop_core::{StoreErrorKind, StoreResult};
use shop_orders::OrderStore;
use shop_orders::store::memory::MemoryOrderStore;
#[cfg(feature = "postgres")]
use shop_orders::store::postgres::PgOrderStore;
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_products::ProductStore;
use shop_products::store::memory::MemoryProductStore;
#[cfg(feature = "mongodb")]
use shop_products::store::mongodb::{MongoConfig, MongoProductStore};
#[cfg(feature = "postgres")]
use shop_products::store::postgres::PgProductStore;
use shop_products::store::sqlite::SqliteProductStore;

/// How long a database that cannot be reached is waited for at the start.
#[cfg(any(feature = "mongodb", feature = "postgres"))]
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a service keeps its data: `memory:`, `sqlite:PATH`, `postgres://…` or `mongodb://…`. Shown without its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Memory,
    Sqlite(PathBuf),
    Postgres(String),
    Mongodb(String),
}

/// Closes a store once nothing uses it any more: a SQLite file is then whole by itself.
pub(super) type Close = Pin<Box<dyn Future<Output = ()> + Send>>;

impl StoreUrl {
    /// A SQLite file.
    pub fn sqlite(path: &Path) -> Self {
        Self(Kind::Sqlite(path.to_owned()))
    }

    /// Why orders cannot be kept there.
    pub(crate) fn refused_for_orders(&self) -> Option<&'static str> {
        let is_mongodb = matches!(self.0, Kind::Mongodb(_));
        is_mongodb.then_some("orders are kept in memory:, sqlite:PATH or postgres://…")
    }

    /// Opens it for products; a new SQLite file and its folder are made. A database that cannot be reached is waited for.
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
            #[cfg(feature = "mongodb")]
            Kind::Mongodb(url) => {
                let config = MongoConfig::default();
                let connect = || MongoProductStore::connect_with(url, config.clone(), clock.clone());
                let store = Arc::new(self.reached(connect).await?);
                Ok((store.clone(), Box::pin(async move { store.close().await })))
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres(url) => {
                let store = Arc::new(self.reached(|| PgProductStore::connect(url)).await?);
                Ok((store.clone(), Box::pin(async move { store.close().await })))
            }
            #[cfg(not(all(feature = "mongodb", feature = "postgres")))]
            _ => Err(self.unusable(None)),
        }
    }

    /// Opens it for orders; a new SQLite file and its folder are made. A database that cannot be reached is waited for.
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
            #[cfg(feature = "postgres")]
            Kind::Postgres(url) => {
                let store = Arc::new(self.reached(|| PgOrderStore::connect(url)).await?);
                Ok((store.clone(), Box::pin(async move { store.close().await })))
            }
            _ => Err(self.unusable(self.refused_for_orders())),
        }
    }

    /// Connects, again and again while nobody answers: databases and services are often started together.
    #[cfg(any(feature = "mongodb", feature = "postgres"))]
    async fn reached<S>(&self, connect: impl AsyncFn() -> StoreResult<S>) -> Result<S, Failure> {
        let since = Instant::now();
        loop {
            let error = match connect().await {
                Ok(store) => return Ok(store),
                Err(error) => error,
            };
            if error.kind() != StoreErrorKind::Unavailable || since.elapsed() >= PATIENCE {
                return Err(self.fault(&error));
            }
            tracing::warn!(store = %self, error = %error.chain(), "the store cannot be reached yet; trying again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The configuration's check has said so before.
    fn unusable(&self, why: Option<&str>) -> Failure {
        Failure::Config(format!("{self}: {}", why.unwrap_or("this build has no such store")))
    }

    /// Why it cannot be opened; an adapter need not say which store it is.
    fn fault(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
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
            "postgres" | "postgresql" if cfg!(feature = "postgres") => Ok(Self(Kind::Postgres(text.into()))),
            "mongodb" | "mongodb+srv" if cfg!(feature = "mongodb") => Ok(Self(Kind::Mongodb(text.into()))),
            // The rest of the URL may hold a password.
            "postgres" | "postgresql" => Err(absent(scheme, "postgres")),
            "mongodb" | "mongodb+srv" => Err(absent(scheme, "mongodb")),
            _ => Err(format!(
                "there is no store for {scheme}: URLs; there are memory:, sqlite:PATH, postgres:// and mongodb://"
            )),
        }
    }
}

fn absent(scheme: &str, feature: &str) -> String {
    format!("this build has no store for {scheme}: URLs; build it with `--features {feature}`, or full")
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Memory => f.write_str("memory:"),
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(url) | Kind::Mongodb(url) => {
                f.write_str(redact_url(url).as_deref().unwrap_or(url))
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
