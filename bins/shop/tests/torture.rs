//! Separate servers over PostgreSQL and MongoDB, all of them killed and stopped under load: no acknowledged order is lost, none is
//! there twice, and the stock fits to the unit. `cargo xtask torture` runs it for longer and on other schedules.
#![cfg(all(feature = "mongodb", feature = "postgres"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use support::client::{Client, Reply};
use support::load::{Load, sku};
use support::server::Server;
use support::sums::{all_orders, check};
use support::within;
use tempfile::TempDir;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use xtask::servers::{Mongodb, Postgres};

const CLIENTS: u64 = 16;
/// Six products of which there are enough, and two that are scarce.
const ON_HAND: [i64; 8] = [100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 50, 50];
/// A store that was killed may take this long until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of ours, on the same address whenever it is started.
struct Service {
    name: &'static str,
    arguments: Vec<String>,
    listen: String,
    server: Server,
}

impl Service {
    fn start(name: &'static str, arguments: &[&str], rng: &mut fastrand::Rng) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let listen = address(rng);
        let server = launch(name, &arguments, &listen);
        Self { name, arguments, listen, server }
    }

    fn kill(&mut self) {
        self.has_not_panicked();
        self.server.process.kill();
    }

    fn restart(&mut self) {
        self.server = launch(self.name, &self.arguments, &self.listen);
    }

    fn has_not_panicked(&self) {
        let said = self.server.process.said();
        let panics: Vec<_> = said.lines().filter(|line| line.contains("panicked at")).collect();
        assert!(panics.is_empty(), "{}: {panics:?}", self.name);
    }
}

/// The default grace is 30 s; here it is short, so that recovery runs between the kills as well.
fn launch(name: &str, arguments: &[String], listen: &str) -> Server {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let short = [("SHOP__ORDERS__GRACE", "3s"), ("SHOP__ORDERS__PLACE_DEADLINE", "2s")];
    Server::start_with(name, &arguments, listen, &short)
}

/// Not of the ports that outgoing connections take: one of those could be taken while the server is down.
fn address(rng: &mut fastrand::Rng) -> String {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = std::iter::repeat_with(|| rng.u16(20_000..32_000)).find(free).unwrap();
    format!("127.0.0.1:{port}")
}

/// Whom harm comes to; in this order they are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Postgres,
    Mongodb,
    Products(usize),
    Orders(usize),
    Gateway,
}

impl Victim {
    /// Of each kind as often.
    fn draw(rng: &mut fastrand::Rng) -> Self {
        let instance = rng.usize(0..2);
        let kinds =
            [Self::Postgres, Self::Mongodb, Self::Products(instance), Self::Orders(instance), Self::Gateway];
        kinds[rng.usize(0..kinds.len())]
    }
}

/// All that runs. What is asked comes before what it asks: they are ended in this order.
struct World {
    gateway: Service,
    orders: [Service; 2],
    products: [Service; 2],
    postgres: Postgres,
    mongodb: Mongodb,
    _dir: TempDir,
}

impl World {
    fn start() -> Self {
        // Not of the schedule: the ports are what is free.
        let mut rng = fastrand::Rng::new();
        let (postgres, mongodb) = (Postgres::start().unwrap(), Mongodb::start().unwrap());
        let (orders, products) = (postgres.url(), mongodb.url().replace("/?", "/shop?"));
        let products = [0, 1].map(|_| Service::start("products", &["--store", &products], &mut rng));
        let orders = [0, 1].map(|n| {
            let url = &products[n].server.address;
            Service::start("orders", &["--store", &orders, "--products-url", url], &mut rng)
        });
        let dir = tempfile::tempdir().unwrap();
        let upstream = |name: &str, [a, b]: &[Service; 2]| {
            format!(
                "[upstreams.{name}]\nendpoints = [\"{}\", \"{}\"]\nconnect_timeout = \"500ms\"\nresponse_timeout = \"3s\"\n",
                a.listen, b.listen
            )
        };
        let file = dir.path().join("gateway.toml");
        std::fs::write(&file, upstream("orders", &orders) + &upstream("products", &products)).unwrap();
        let gateway = Service::start("gateway", &["--config", file.to_str().unwrap()], &mut rng);
        Self { gateway, orders, products, postgres, mongodb, _dir: dir }
    }

    fn client(&self) -> Client {
        Client::new(&self.gateway.server.address, &self.gateway.server.address)
    }

    fn service(&mut self, victim: Victim) -> Option<&mut Service> {
        match victim {
            Victim::Postgres | Victim::Mongodb => None,
            Victim::Products(n) => Some(&mut self.products[n]),
            Victim::Orders(n) => Some(&mut self.orders[n]),
            Victim::Gateway => Some(&mut self.gateway),
        }
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Postgres => self.postgres.process().kill(),
            Victim::Mongodb => self.mongodb.process().kill(),
            _ => self.service(victim).unwrap().kill(),
        }
    }

    fn restart(&mut self, victim: Victim) {
        match victim {
            Victim::Postgres => self.postgres.restart().unwrap(),
            Victim::Mongodb => self.mongodb.restart().unwrap(),
            _ => self.service(victim).unwrap().restart(),
        }
    }

    fn signal(&mut self, victim: Victim, name: &str) {
        match victim {
            Victim::Postgres => self.postgres.process().signal(name),
            Victim::Mongodb => self.mongodb.process().signal(name),
            _ => self.service(victim).unwrap().server.process.signal(name),
        }
    }

    /// Nothing that a client sent is under way any more once this returns.
    fn drain_orders(&mut self) {
        for service in &mut self.orders {
            let new = || launch(service.name, &service.arguments, &service.listen);
            service.has_not_panicked();
            service.server.process.signal("TERM");
            service.server.process.wait();
            service.server = new();
        }
    }
}

/// One or two of them are killed or stopped for a while, and then there again; tells which, and how long it took.
async fn harm(world: &mut World, rng: &mut fastrand::Rng, done: &mut BTreeMap<String, u32>) -> String {
    let since = Instant::now();
    let many = if rng.u32(0..4) == 0 { 2 } else { 1 };
    let mut victims: Vec<_> = std::iter::repeat_with(|| Victim::draw(rng)).take(many).collect();
    victims.sort();
    victims.dedup();
    let killed: Vec<_> = victims.iter().map(|_| rng.u32(0..4) > 0).collect();
    for (victim, killed) in victims.iter().zip(&killed) {
        let kind = format!("{victim:?}").split('(').next().unwrap().to_lowercase();
        *done.entry(format!("{} {kind}", if *killed { "kill" } else { "stop" })).or_default() += 1;
        if *killed { world.kill(*victim) } else { world.signal(*victim, "STOP") }
    }
    tokio::time::sleep(Duration::from_millis(rng.u64(0..3_500))).await;
    for (victim, killed) in victims.iter().zip(&killed) {
        // Of two, what is stopped may be what the other one needs to start.
        if !*killed {
            world.signal(*victim, "CONT");
        }
    }
    for (victim, killed) in victims.iter().zip(&killed) {
        if *killed {
            world.restart(*victim);
        }
    }
    let what: Vec<_> = victims.iter().zip(killed).map(|it| format!("{it:?}")).collect();
    format!("{} in {:.1?}", what.join(", "), since.elapsed())
}

/// A world under load.
struct Run {
    world: World,
    client: Client,
    load: Arc<Load>,
    clients: Vec<JoinHandle<()>>,
    _running: watch::Sender<Option<Client>>,
}

impl Run {
    async fn start() -> Self {
        let world = World::start();
        let client = world.client();
        for (n, on_hand) in ON_HAND.iter().enumerate() {
            client.product(&sku(n), *on_hand).await;
        }
        let (running, up) = watch::channel(Some(client.clone()));
        let load = Arc::new(Load::new(up, ON_HAND.len(), usize::MAX, Duration::from_millis(60)));
        let clients = (0..CLIENTS).map(|n| tokio::spawn(load.clone().client(n))).collect();
        Self { world, client, load, clients, _running: running }
    }

    /// Ends the load, waits until all is settled, and compares; tells what became of it.
    async fn finish(mut self) -> String {
        self.load.over.store(true, Ordering::Relaxed);
        let since = Instant::now();
        for client in self.clients {
            // Every one that asks has its answer.
            let known = tokio::time::timeout(PATIENCE, client).await;
            known.expect("what is asked for is known in the end").unwrap();
        }
        let known_in = since.elapsed();
        self.world.drain_orders();
        let since = Instant::now();
        within(PATIENCE, "nothing is held and nothing in doubt any more", async || {
            is_calm(&self.client, &self.world).await
        })
        .await;
        let converged_in = since.elapsed();
        let known = std::mem::take(&mut *self.load.known.lock().unwrap());
        let orders = all_orders(&self.client).await;
        let found = check(&self.client, &known, &ON_HAND, &orders).await;
        for service in self.world.orders.iter().chain(&self.world.products).chain([&self.world.gateway]) {
            service.has_not_panicked();
        }
        assert!(known.placed.len() > 100 && known.refused > 0, "it was no load");
        format!(
            "{}; lost 0, doubled 0, oversold 0; all known {known_in:.1?} after the load, converged in {converged_in:.1?}",
            self.load.tally(&known, found),
        )
    }
}

async fn is_calm(client: &Client, world: &World) -> bool {
    let is = |reply: &Reply, so: &dyn Fn(serde_json::Value) -> bool| reply.status == 200 && so(reply.ok(200));
    let held = client.get("/v1/reservations?state=held&limit=500").await;
    let mut calm = is(&held, &|held| held["data"] == json!([]));
    for service in &world.orders {
        let operator = service.server.operator();
        let (doctor, status) = (operator.get("/doctor").await, operator.get("/status").await);
        calm &= is(&doctor, &|doctor| doctor["in_doubt"] == json!([]));
        calm &= is(&status, &|status| status["figures"]["orders"]["settlements_open"] == 0);
    }
    calm
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Each run has the machine for itself.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_databases_that_are_killed_and_stopped_keep_what_was_acknowledged() {
    let _alone = ALONE.lock().await;
    let (seconds, seed) = (number("SHOP_TORTURE_SECONDS", 20), number("SHOP_TORTURE_SEED", 0));
    let mut run = Run::start().await;
    let (mut rng, mut done) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
    let (mut last, mut slowest) = (String::from("the start"), (Duration::ZERO, String::new()));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let since = Instant::now();
        run.load.goes_on(rng.u64(1..200), PATIENCE).await;
        slowest = slowest.max((since.elapsed(), last));
        last = harm(&mut run.world, &mut rng, &mut done).await;
    }
    let (harmed_in, (pause, after)) = (began.elapsed(), slowest);
    println!(
        "seed {seed}, {harmed_in:.1?}: {done:?}; {}; slowest {pause:.1?} after {after}",
        run.finish().await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_19_kill_9_of_postgresql_and_of_mongod_under_load_loses_no_acknowledged_write() {
    let _alone = ALONE.lock().await;
    let mut run = Run::start().await;
    for victim in [Victim::Postgres, Victim::Mongodb].repeat(2) {
        run.load.goes_on(100, PATIENCE).await;
        run.world.kill(victim);
        run.world.restart(victim);
    }
    run.load.goes_on(100, PATIENCE).await;
    println!("PostgreSQL and mongod killed twice each: {}", run.finish().await);
}
