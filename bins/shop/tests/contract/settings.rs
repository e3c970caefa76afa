//! The settings that the contract is tested in.

use std::sync::{Arc, Mutex, Weak};

use crate::support::client::Client;
use crate::support::shop::Shop;

/// What a test of the contract runs on: where the data is, and whether the gateway is asked or the services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) memory: bool,
    pub(crate) gateway: bool,
}

/// A shop under test, perhaps together with other tests.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) shop: Arc<Shop>,
    pub(crate) setting: Setting,
    client: Client,
}

impl std::ops::Deref for Tested {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Setting {
    fn variables(self) -> &'static [(&'static str, &'static str)] {
        if self.memory {
            &[("SHOP__ORDERS__STORE", "memory:"), ("SHOP__PRODUCTS__STORE", "memory:")]
        } else {
            &[]
        }
    }

    /// A process that all tests of this store share while any of them runs.
    pub(crate) fn shared(self) -> Tested {
        static RUNNING: [Mutex<Weak<Shop>>; 2] = [Mutex::new(Weak::new()), Mutex::new(Weak::new())];
        // A test that failed while it started the process has said so.
        let mut running =
            RUNNING[usize::from(self.memory)].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let shop = running.upgrade().unwrap_or_else(|| Arc::new(Shop::start(self.variables())));
        *running = Arc::downgrade(&shop);
        self.tested(shop)
    }

    /// A process that nobody else asks, with more in its environment.
    pub(crate) fn own(self, more: &[(&str, &str)]) -> Tested {
        let variables = [self.variables(), more].concat();
        self.tested(Arc::new(Shop::start(&variables)))
    }

    fn tested(self, shop: Arc<Shop>) -> Tested {
        let client = if self.gateway { shop.client() } else { shop.direct() };
        Tested { shop, setting: self, client }
    }
}

/// Makes one test a setting of each function that takes a [`Tested`] or, with `own`, a [`Setting`].
macro_rules! in_every_setting {
    (@each $how:ident $($name:ident),+) => {
        crate::settings::in_every_setting!(@one $how memory_gateway true true $($name),+);
        crate::settings::in_every_setting!(@one $how memory_direct true false $($name),+);
        crate::settings::in_every_setting!(@one $how sqlite_gateway false true $($name),+);
        crate::settings::in_every_setting!(@one $how sqlite_direct false false $($name),+);
    };
    (@one $how:ident $setting:ident $memory:literal $gateway:literal $($name:ident),+) => {
        mod $setting {
            $(#[tokio::test]
            async fn $name() {
                let setting = crate::settings::Setting { memory: $memory, gateway: $gateway };
                super::$name(crate::settings::in_every_setting!(@get $how setting)).await;
            })+
        }
    };
    (@get shared $setting:ident) => { $setting.shared() };
    (@get own $setting:ident) => { $setting };
    (own: $($name:ident),+ $(,)?) => { crate::settings::in_every_setting!(@each own $($name),+); };
    ($($name:ident),+ $(,)?) => { crate::settings::in_every_setting!(@each shared $($name),+); };
}
pub(crate) use in_every_setting;
