//! One run: a storm, calm, and then everything must be right; a week later too.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use shop_core::{Limit, PageRequest};
use shop_orders::OrderStatus;
use shop_orders::store::memory::MemoryOrderStore;
use shop_products::ProductId;
use shop_products::store::ReservationQuery;
use shop_products::store::memory::MemoryProductStore;
use turmoil::Sim;

use crate::buyer::Buyer;
use crate::chaos::Chaos;
use crate::clerk::Clerk;
use crate::client::Client;
use crate::echo::{Asked, echo};
use crate::hosts::{GATEWAYS, ORDERS, PRODUCTS, Shop};
use crate::stocktaking::{Report, end, held, stock_up};
use crate::world::{Broken, Now, World};

pub(crate) const CLIENTS: [&str; 2] = ["clients-1", "clients-2"];
pub(crate) const ECHO: &str = "echo";
/// The longest that a message takes on a link that nothing is wrong with.
pub(crate) const SLOWEST: Duration = Duration::from_millis(40);

/// What a host does at a time. Messages come in between.
const TICK: Duration = Duration::from_millis(20);
/// How long things go wrong.
const STORM: Duration = Duration::from_secs(8);
/// By then all must be settled, clocks that were ahead included.
const SETTLED: Duration = Duration::from_secs(200);
/// More than anything is kept that is kept for a time.
const LONG: Duration = Duration::from_secs(8 * 24 * 3_600);

struct Run<'a> {
    world: Arc<World>,
    shop: Arc<Shop>,
    sim: Sim<'a>,
    /// The time between two steps, when no host is asked.
    elapsed: Arc<AtomicU64>,
    /// Clients that are not done.
    busy: Arc<AtomicU64>,
}

/// Runs a seed on this thread, which must be used for nothing else.
pub(crate) fn simulate(seed: u64, broken: Broken, shown: bool) -> Result<Report, String> {
    shop_core::chance::seed_thread(seed);
    watch_panics();
    let elapsed = Arc::new(AtomicU64::new(0));
    let between = elapsed.clone();
    let now: Now = Arc::new(move || {
        turmoil::sim_elapsed().unwrap_or_else(|| Duration::from_millis(between.load(Ordering::Relaxed)))
    });
    let world = World::new(seed, broken, shown, now);
    let ways = [&PRODUCTS, &PRODUCTS, &GATEWAYS];
    let shop = Arc::new(Shop {
        orders: Arc::new(MemoryOrderStore::with_clock(world.clock(4))),
        products: Arc::new(MemoryProductStore::with_clock(world.clock(5))),
        asked: Arc::new(Asked::default()),
        way_to_products: ways[world.below(3) as usize],
        world: world.clone(),
    });
    let opening = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let ids = opening.unwrap().block_on(stock_up(&world, &shop.products));
    let sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .simulation_duration(Duration::from_secs(24 * 3_600))
        .max_message_latency(SLOWEST)
        .tcp_capacity(256)
        .enable_random_order()
        .build();
    let mut run = Run { world: world.clone(), shop, sim, elapsed, busy: Arc::default() };
    run.open(&ids);
    if let Err(error) = run.storm().and_then(|()| run.settle()).and_then(|()| run.grow_old()) {
        world.wrong(format!("a host has ended: {error}"));
    }
    if let Some(panic) = PANIC.take() {
        world.wrong(format!("something panicked: {panic}"));
    }
    let report = end(&world, &run.shop.orders, &run.shop.products, &ids);
    let report = report.now_or_never().unwrap();
    world.fault().map_or(Ok(report), Err)
}

impl Run<'_> {
    /// Starts the hosts and lets the clients in.
    fn open(&mut self, ids: &[ProductId]) {
        for n in [0, 1] {
            let [gateway, orders, products] = [(); 3].map(|()| self.shop.clone());
            self.sim.host(PRODUCTS[n].0, move || products.clone().products(n));
            self.sim.host(ORDERS[n].0, move || orders.clone().orders(n));
            self.sim.host(GATEWAYS[n].0, move || gateway.clone().gateway(n));
        }
        for (host, name) in CLIENTS.iter().zip(["a", "b"]) {
            let count = 2 + self.world.below(3);
            let buyers = (0..count).map(|n| Buyer {
                client: Client::new(&self.world, format!("{name}{n}")),
                products: ids.to_vec(),
            });
            let buyers: Vec<Buyer> = buyers.collect();
            let clerk =
                Clerk { client: Client::new(&self.world, format!("clerk-{name}")), products: ids.to_vec() };
            let busy = self.busy.clone();
            busy.fetch_add(1, Ordering::Relaxed);
            self.sim.client(*host, async move {
                tokio::join!(join_all(buyers.into_iter().map(Buyer::shop)), clerk.work());
                busy.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            });
        }
        let (world, asked) = (self.world.clone(), self.shop.asked.clone());
        self.sim.client(ECHO, async move {
            echo(world, asked).await;
            Ok(())
        });
    }

    fn step(&mut self) -> turmoil::Result {
        self.sim.step()?;
        self.elapsed.store(self.sim.elapsed().as_millis() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> turmoil::Result {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step()?;
        }
        Ok(())
    }

    fn storm(&mut self) -> turmoil::Result {
        let mut chaos = Chaos::new(&self.world);
        self.world.set_stormy(true);
        while self.sim.elapsed() < STORM {
            self.step()?;
            chaos.rage(&mut self.sim);
        }
        chaos.calm(&mut self.sim);
        Ok(())
    }

    /// Waits until the clients are done and nothing is held or open, and has been so for a while.
    fn settle(&mut self) -> turmoil::Result {
        let (until, mut quiet) = (self.sim.elapsed() + SETTLED, 0);
        // The first thing wrong is what counts.
        while quiet < 3 && self.world.fault().is_none() {
            self.wait(Duration::from_millis(500))?;
            let held = held(&self.shop.products).now_or_never().unwrap();
            let (open, _) = self.shop.orders.open_settlements(1).now_or_never().unwrap().unwrap();
            let busy = self.busy.load(Ordering::Relaxed);
            quiet = if held == 0 && open == 0 && busy == 0 { quiet + 1 } else { 0 };
            if self.sim.elapsed() > until {
                let what =
                    format!("{held} reservations stay held, {open} settlements open, {busy} clients busy");
                self.world.wrong(what);
            }
        }
        Ok(())
    }

    /// What is old is forgotten; then every hold that ever was comes once more.
    fn grow_old(&mut self) -> turmoil::Result {
        if self.world.fault().is_some() {
            return Ok(());
        }
        self.world.note(format_args!("a week goes by"));
        // The goods of the others have left, and what was noted of them may be forgotten.
        self.world.book.lock().unwrap().orders.retain(|_, order| order.status == OrderStatus::Placed);
        self.world.skew.iter().for_each(|skew| skew.store(LONG.as_millis() as i64, Ordering::Relaxed));
        self.wait(Duration::from_secs(2))?;
        let page = PageRequest { limit: Limit::new(Limit::MAX).unwrap(), after: None };
        let query = ReservationQuery::default();
        let left = self.shop.products.reservations(&query, &page).now_or_never().unwrap().unwrap();
        // What a late request has ended since then is not old.
        let old = self.world.clock(5).now().minus(LONG / 2);
        if left.iter().any(|reservation| !reservation.state.is_live() && reservation.updated_at < old) {
            self.world.wrong("reservations that have ended are not forgotten".to_owned());
        }
        self.shop.asked.is_old.store(true, Ordering::Relaxed);
        while !self.shop.asked.is_over.load(Ordering::Relaxed) && self.world.fault().is_none() {
            self.wait(Duration::from_millis(500))?;
        }
        self.settle()
    }
}

thread_local! {
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// A task that panics ends unseen; here it is a fault.
fn watch_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANIC.set(Some(panic.to_string()));
            shown(panic);
        }));
    });
}
