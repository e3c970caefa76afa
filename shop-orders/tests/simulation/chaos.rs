//! Who kills services, cuts lines and turns clocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_orders::OrderStore;
use shop_products::ProductStore;
use tokio::time::sleep;

use crate::buyer::Orders;
use crate::host::{start_orders, start_products};
use crate::network::Network;
use crate::world::World;

/// A clock is wrong by at most so many milliseconds.
const MAX_SKEW: i64 = 40_000;

pub(crate) struct Chaos {
    pub(crate) world: Arc<World>,
    pub(crate) network: Arc<Network>,
    pub(crate) orders: Orders,
    pub(crate) orders_store: Arc<dyn OrderStore>,
    pub(crate) products_store: Arc<dyn ProductStore>,
}

impl Chaos {
    pub(crate) fn start_all(&self) {
        for number in [0, 1] {
            self.start(number);
            self.start(2 + number);
        }
    }

    /// 0 and 1 are orders, 2 and 3 are products. What runs goes on.
    fn start(&self, host: usize) {
        if host < 2 {
            let mut orders = self.orders.lock().unwrap();
            orders[host]
                .get_or_insert_with(|| start_orders(&self.world, host, &self.orders_store, &self.network));
        } else {
            let mut products = self.network.products.lock().unwrap();
            products[host - 2].get_or_insert_with(|| start_products(&self.world, &self.products_store));
        }
    }

    fn kill(&self, host: usize) {
        if host < 2 {
            let killed = self.orders.lock().unwrap()[host].take();
            killed.inspect(|host| host.life.end());
        } else {
            let killed = self.network.products.lock().unwrap()[host - 2].take();
            killed.inspect(|host| host.life.end());
        }
        self.world.book.lock().unwrap().crashes += 1;
    }

    pub(crate) async fn rage(&self, until: Duration) {
        let pace = 200 + self.world.below(6_000);
        while self.world.elapsed() < until {
            self.world.pause(pace).await;
            let (what, which) = (self.world.below(10), self.world.below(4) as usize);
            match what {
                0..=3 => {
                    self.world.note(format_args!("host {which} dies"));
                    self.kill(which);
                    // Often at once, so that old messages meet the new one.
                    let most = if self.world.below(2) == 0 { 50 } else { 6_000 };
                    self.world.pause(most).await;
                    self.world.note(format_args!("host {which} starts"));
                    self.start(which);
                }
                4..=5 => {
                    self.world.note(format_args!("line {which} cut"));
                    let line = &self.network.cut[which / 2][which % 2];
                    line.store(true, Ordering::Relaxed);
                    self.world.pause(8_000).await;
                    if self.world.below(2) == 0 {
                        line.store(false, Ordering::Relaxed);
                    }
                }
                6 => self.network.cut.iter().flatten().for_each(|line| line.store(false, Ordering::Relaxed)),
                7..=8 => {
                    let clock = self.world.below(6) as usize;
                    let to = self.world.below(2 * MAX_SKEW as u64) as i64 - MAX_SKEW;
                    self.world.note(format_args!("clock {clock} jumps to {to}"));
                    self.world.skew[clock].store(to, Ordering::Relaxed);
                }
                _ => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Everything works from now on.
    pub(crate) fn calm(&self) {
        self.world.note(format_args!("calm"));
        self.world.set_stormy(false);
        self.world.skew.iter().for_each(|skew| skew.store(0, Ordering::Relaxed));
        self.start_all();
    }
}
