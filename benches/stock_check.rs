//! The stock check in process, 1, 3 and 21 lines among 1,000, 100,000 and 1,000,000 products, by id and by SKU, beside bare
//! lookups of the same keys in a `std::collections::HashMap`.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shop_benches::{Backend, Shop, sku};
use shop_products::{CheckedLine, HoldLine, ProductRef, Sku};

/// Round and round over the products with a stride that is prime to their number: no line is in the cache because its
/// neighbour was.
const STRIDE: usize = 7_919;
/// How many different questions are asked before the first comes again.
const QUESTIONS: usize = 4_096;

fn stock_check(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("starts a runtime");
    for skus in [1_000_u64, 100_000, 1_000_000] {
        let shop = runtime.block_on(Shop::open_with_view(Backend::Memory, skus, 256, skus as usize));
        let all: Vec<Sku> = (0..skus).map(sku).collect();
        let refs: Vec<ProductRef> = all.iter().cloned().map(ProductRef::Sku).collect();
        let ids: Vec<_> = runtime
            .block_on(shop.products.get_many(&refs))
            .expect("reads")
            .into_iter()
            .map(|product| product.expect("is there").id)
            .collect();
        let by_id: HashMap<_, i64> = ids.iter().map(|id| (id.0, 1_000_000_000)).collect();
        let by_sku: HashMap<String, i64> = all.iter().map(|sku| (sku.to_string(), 1_000_000_000)).collect();
        for lines in [1_usize, 3, 21] {
            let places = |question: usize| {
                (0..lines).map(move |line| (question * lines + line) * STRIDE % skus as usize)
            };
            let mut group = criterion.benchmark_group(format!("stock_check/{skus} products"));
            group.throughput(Throughput::Elements(lines as u64));

            let keys: Vec<Vec<_>> = (0..QUESTIONS).map(|n| places(n).map(|p| ids[p].0).collect()).collect();
            let mut next = (0..QUESTIONS).cycle();
            group.bench_function(BenchmarkId::new("HashMap by id", lines), |bencher| {
                bencher.iter(|| {
                    let question = &keys[next.next().expect("is endless")];
                    question
                        .iter()
                        .all(|key| by_id.get(black_box(key)).is_some_and(|available| *available >= 1))
                });
            });
            let keys: Vec<Vec<_>> =
                (0..QUESTIONS).map(|n| places(n).map(|p| all[p].to_string()).collect()).collect();
            group.bench_function(BenchmarkId::new("HashMap by SKU", lines), |bencher| {
                bencher.iter(|| {
                    let question = &keys[next.next().expect("is endless")];
                    question
                        .iter()
                        .all(|key| by_sku.get(black_box(key)).is_some_and(|available| *available >= 1))
                });
            });

            let mut out: Vec<CheckedLine> = Vec::with_capacity(lines);
            for name in ["by id", "by SKU"] {
                let product = |place: usize| match name {
                    "by id" => ProductRef::Id(ids[place]),
                    _ => ProductRef::Sku(all[place].clone()),
                };
                let questions: Vec<Vec<HoldLine>> = (0..QUESTIONS)
                    .map(|n| {
                        places(n).map(|place| HoldLine { product: product(place), quantity: 1 }).collect()
                    })
                    .collect();
                group.bench_function(BenchmarkId::new(format!("check {name}"), lines), |bencher| {
                    bencher.iter(|| {
                        out.clear();
                        let question = &questions[next.next().expect("is endless")];
                        let checked = shop.products.view().check_into(black_box(question), &mut out);
                        assert!(checked.available && checked.misses == 0);
                        black_box(&out);
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, stock_check);
criterion_main!(benches);
