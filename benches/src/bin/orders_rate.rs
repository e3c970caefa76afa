//! `orders_rate SKUS CALLERS SECONDS [OPEN]`: two-line orders a second in process, on SQLite with WAL and
//! `synchronous=FULL`, after `OPEN` orders that stay open. Prints one line, like its peer's (`benches/stateset`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use shop_benches::{Backend, Shop, at_once};
use tokio::runtime::Builder;

/// Orders a second in process, on SQLite.
#[derive(Parser)]
struct Options {
    /// Products.
    skus: u64,
    /// Callers at once.
    callers: u64,
    /// How long to measure.
    seconds: u64,
    /// Orders placed before.
    #[arg(default_value_t = 0)]
    open: u64,
    /// The runtime's threads. One is fastest for few callers: their tasks are short, and a second thread that is woken for
    /// every one of them costs more than it takes off. SQLite has threads of its own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() {
    let options = Options::parse();
    let mut runtime = match options.threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(options.threads).enable_all().build().expect("starts a runtime");
    runtime.block_on(async {
        let shop = Arc::new(Shop::open(Backend::Sqlite, options.skus, 256).await);
        at_once(&shop, options.callers.max(64), options.open, |shop| async move { shop.place().await }).await;
        let (mut done, from) = (0, Instant::now());
        while from.elapsed() < Duration::from_secs(options.seconds) {
            at_once(&shop, options.callers, 2_000, |shop| async move { shop.place().await }).await;
            done += 2_000;
        }
        let took = from.elapsed().as_secs_f64();
        println!(
            "shop skus={} callers={} threads={} open={} orders={done} failed=0 seconds={took:.2} orders_per_second={:.0}",
            options.skus,
            options.callers,
            options.threads,
            options.open,
            f64::from(done) / took
        );
    });
}
