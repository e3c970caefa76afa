//! Two-line orders a second, by store and largest batch, with 8 and 64 callers.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shop_benches::{Backend, Shop, at_once};

fn orders(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("starts a runtime");
    let mut group = criterion.benchmark_group("orders");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for backend in [Backend::Memory, Backend::Sqlite] {
        for (skus, callers, max_batch) in [(1_000, 8, 1), (1_000, 8, 256), (5, 8, 256), (1_000, 64, 256)] {
            let shop = Arc::new(runtime.block_on(Shop::open(backend, skus, max_batch)));
            let name = format!("{skus} products, {callers} callers, batch {max_batch}");
            group.bench_function(BenchmarkId::new(backend.name(), name), |bencher| {
                bencher.iter_custom(|times| {
                    runtime.block_on(at_once(&shop, callers, times, |shop| async move { shop.place().await }))
                });
            });
        }
    }
}

criterion_group!(benches, orders);
criterion_main!(benches);
