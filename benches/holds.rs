//! Two-line holds a second, by store and largest batch, with 64 callers on 1,000 products and on five.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shop_benches::{Backend, Shop, at_once};

fn holds(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("starts a runtime");
    let mut group = criterion.benchmark_group("holds");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for backend in [Backend::Memory, Backend::Sqlite] {
        for (skus, max_batch) in [(1_000, 1), (1_000, 16), (1_000, 256), (5, 256)] {
            let shop = Arc::new(runtime.block_on(Shop::open(backend, skus, max_batch)));
            let name = BenchmarkId::new(backend.name(), format!("{skus} products, batch {max_batch}"));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| {
                    runtime.block_on(at_once(&shop, 64, times, |shop| async move { shop.hold().await }))
                });
            });
        }
    }
}

criterion_group!(benches, holds);
criterion_main!(benches);
