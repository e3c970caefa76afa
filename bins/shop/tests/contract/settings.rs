//! The settings that the contract is tested in.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::support::client::Client;
use crate::support::shop::Shop;

/// Where the data is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stores {
    Memory,
    Sqlite,
    /// Orders in `PostgreSQL`, products in `MongoDB`.
    #[cfg(all(feature = "mongodb", feature = "postgres"))]
    Databases,
}

/// What a test of the contract runs on: where the data is, and whether the gateway is asked or the services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) stores: Stores,
    pub(crate) gateway: bool,
}

/// A shop under test, perhaps together with other tests.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) shop: Arc<Shop>,
    pub(crate) setting: Setting,
    client: Client,
    /// Dropped after the shop that uses it.
    _databases: Option<Databases>,
}

type Databases = Box<dyn Any + Send>;

impl std::ops::Deref for Tested {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Stores {
    /// Where orders and products go, if it is not where `shop up` puts them, and what keeps the databases.
    async fn fresh(self) -> (Vec<(&'static str, String)>, Option<Databases>) {
        let at = |orders: &str, products: &str| {
            vec![("SHOP__ORDERS__STORE", orders.to_owned()), ("SHOP__PRODUCTS__STORE", products.to_owned())]
        };
        match self {
            Self::Memory => (at("memory:", "memory:"), None),
            Self::Sqlite => (Vec::new(), None),
            #[cfg(all(feature = "mongodb", feature = "postgres"))]
            Self::Databases => {
                let orders = shop_core::postgres::TestDatabase::create().await;
                let products = shop_products::store::mongodb::TestDatabase::fresh();
                (at(&orders.url(), products.url()), Some(Box::new((orders, products))))
            }
        }
    }
}

impl Setting {
    /// A shop in which other tests may be at work too: one process for all tests of a store while any of them runs. On
    /// database servers each test has its own databases, and so its own process.
    pub(crate) async fn shared(self) -> Tested {
        static MEMORY: Mutex<Weak<Shop>> = Mutex::new(Weak::new());
        static SQLITE: Mutex<Weak<Shop>> = Mutex::new(Weak::new());
        let running = match self.stores {
            Stores::Memory => &MEMORY,
            Stores::Sqlite => &SQLITE,
            #[cfg(all(feature = "mongodb", feature = "postgres"))]
            Stores::Databases => return self.own(&[]).await,
        };
        let (variables, _) = self.stores.fresh().await;
        // A test that failed while it started the process has said so.
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let shop = running.upgrade().unwrap_or_else(|| Arc::new(start(&variables, &[])));
        *running = Arc::downgrade(&shop);
        self.tested(shop, None)
    }

    /// A process that nobody else asks, with more in its environment.
    pub(crate) async fn own(self, more: &[(&str, &str)]) -> Tested {
        let (variables, databases) = self.stores.fresh().await;
        self.tested(Arc::new(start(&variables, more)), databases)
    }

    fn tested(self, shop: Arc<Shop>, databases: Option<Databases>) -> Tested {
        let client = if self.gateway { shop.client() } else { shop.direct() };
        Tested { shop, setting: self, client, _databases: databases }
    }
}

fn start(variables: &[(&str, String)], more: &[(&str, &str)]) -> Shop {
    let variables = variables.iter().map(|(name, value)| (*name, &**value));
    Shop::start(&variables.chain(more.iter().copied()).collect::<Vec<_>>())
}

/// Makes one test a setting of each function that takes a [`Tested`] or, with `own`, a [`Setting`].
macro_rules! in_every_setting {
    (@each $how:ident $($name:ident),+) => {
        crate::settings::in_every_setting!(@one $how memory_gateway Memory true $($name),+);
        crate::settings::in_every_setting!(@one $how memory_direct Memory false $($name),+);
        crate::settings::in_every_setting!(@one $how sqlite_gateway Sqlite true $($name),+);
        crate::settings::in_every_setting!(@one $how sqlite_direct Sqlite false $($name),+);
        #[cfg(all(feature = "mongodb", feature = "postgres"))]
        crate::settings::in_every_setting!(@one $how databases_gateway Databases true $($name),+);
    };
    (@one $how:ident $setting:ident $stores:ident $gateway:literal $($name:ident),+) => {
        mod $setting {
            $(#[tokio::test]
            async fn $name() {
                let setting = crate::settings::Setting {
                    stores: crate::settings::Stores::$stores,
                    gateway: $gateway,
                };
                super::$name(crate::settings::in_every_setting!(@get $how setting)).await;
            })+
        }
    };
    (@get shared $setting:ident) => { $setting.shared().await };
    (@get own $setting:ident) => { $setting };
    (own: $($name:ident),+ $(,)?) => { crate::settings::in_every_setting!(@each own $($name),+); };
    ($($name:ident),+ $(,)?) => { crate::settings::in_every_setting!(@each shared $($name),+); };
}
pub(crate) use in_every_setting;
