//! The stock check in process, 1, 3 and 21 lines among 1,000, 100,000 and 1,000,000 products, by id and by SKU, beside bare
//! lookups of the same keys in a `std::collections::HashMap`.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shop_benches::{Backend, Shop, sku};
use shop_products::{CheckedLine, HoldLine, ProductRef, ProductService};
use tokio::runtime::Runtime;

/// Round and round over the products with a stride that is prime to their number: no line is in the cache because its
/// neighbour was.
const STRIDE: usize = 7_919;
/// How many different questions are asked before the first comes again.
const QUESTIONS: usize = 4_096;
const IN_STOCK: i64 = 1_000_000_000;

/// The places of the products that are asked for, `lines` a question.
fn questions<T>(skus: u64, lines: usize, key: impl Fn(usize) -> T) -> Vec<Vec<T>> {
    let place = |line: usize| line * STRIDE % skus as usize;
    (0..QUESTIONS).map(|n| (n * lines..(n + 1) * lines).map(|line| key(place(line))).collect()).collect()
}

fn bare<K: Hash + Eq>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: BenchmarkId,
    map: &LazyCell<HashMap<K, i64>, impl FnOnce() -> HashMap<K, i64>>,
    questions: impl FnOnce() -> Vec<Vec<K>>,
) {
    let questions = LazyCell::new(questions);
    let mut next = (0..QUESTIONS).cycle();
    group.bench_function(name, |bencher| {
        let (map, questions) = (&**map, &**questions);
        bencher.iter(|| {
            let question = &questions[next.next().expect("is endless")];
            question.iter().all(|key| map.get(black_box(key)).is_some_and(|available| *available >= 1))
        });
    });
}

fn checked(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: BenchmarkId,
    products: impl Fn() -> ProductService,
    questions: impl FnOnce() -> Vec<Vec<HoldLine>>,
) {
    let questions = LazyCell::new(questions);
    let mut next = (0..QUESTIONS).cycle();
    let mut out: Vec<CheckedLine> = Vec::new();
    group.bench_function(name, |bencher| {
        let (products, questions) = (products(), &**questions);
        bencher.iter(|| {
            out.clear();
            let question = &questions[next.next().expect("is endless")];
            let checked = products.view().check_into(black_box(question), &mut out);
            assert!(checked.available && checked.misses == 0);
            black_box(&out);
        });
    });
}

fn stock_check(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("starts a runtime");
    for skus in [1_000_u64, 100_000, 1_000_000] {
        // Made when the first bench that was asked for needs it.
        let shop = LazyCell::new(|| {
            runtime.block_on(Shop::open_with_view(Backend::Memory, skus, 256, skus as usize))
        });
        let by_id = LazyCell::new(|| shop.ids.iter().map(|id| (id.0, IN_STOCK)).collect::<HashMap<_, _>>());
        let by_sku =
            LazyCell::new(|| (0..skus).map(|n| (sku(n).to_string(), IN_STOCK)).collect::<HashMap<_, _>>());
        for lines in [1_usize, 3, 21] {
            let mut group = criterion.benchmark_group(format!("stock_check/{skus} products"));
            group.throughput(Throughput::Elements(lines as u64));
            let id = |place: usize| shop.ids[place];
            let line = |product| HoldLine { product, quantity: 1 };
            bare(&mut group, BenchmarkId::new("HashMap by id", lines), &by_id, || {
                questions(skus, lines, |place| id(place).0)
            });
            checked(
                &mut group,
                BenchmarkId::new("check by id", lines),
                || shop.products.clone(),
                || questions(skus, lines, |place| line(ProductRef::Id(id(place)))),
            );
            bare(&mut group, BenchmarkId::new("HashMap by SKU", lines), &by_sku, || {
                questions(skus, lines, |place| sku(place as u64).to_string())
            });
            checked(
                &mut group,
                BenchmarkId::new("check by SKU", lines),
                || shop.products.clone(),
                || questions(skus, lines, |place| line(ProductRef::Sku(sku(place as u64)))),
            );
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    // The spread is the machine's: longer runs make it no smaller, and there are 36 of them.
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = stock_check
}
criterion_main!(benches);
