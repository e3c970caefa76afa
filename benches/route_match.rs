//! Finding the route of a request among 5, 100 and 1,000 routes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use shop_gateway::RouteConfig;
use shop_gateway::route::{Lookup, RouteQuery, RouteTable};

fn route_match(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route_match");
    let headers = HeaderMap::new();
    for routes in [5_usize, 100, 1_000] {
        let table = RouteTable::new(
            &(0..routes)
                .map(|n| RouteConfig::new(format!("/v1/part-{n}/orders"), "orders"))
                .collect::<Vec<_>>(),
        );
        let path = format!("/v1/part-{}/orders/01a20c74-4f42-7309-ac84-424d3201a6b0", routes / 2);
        let query = RouteQuery { host: "shop.example", path: &path, method: &Method::GET, headers: &headers };
        assert_eq!(table.find(query), Lookup::Found(routes / 2));
        group.bench_function(BenchmarkId::new("found", routes), |bencher| {
            bencher.iter(|| table.find(black_box(query)));
        });
        let query = RouteQuery { path: "/v2/nowhere", ..query };
        assert_eq!(table.find(query), Lookup::NotFound);
        group.bench_function(BenchmarkId::new("not found", routes), |bencher| {
            bencher.iter(|| table.find(black_box(query)));
        });
    }
    group.finish();
}

criterion_group!(benches, route_match);
criterion_main!(benches);
