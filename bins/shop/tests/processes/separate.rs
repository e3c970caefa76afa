use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::logs::{accesses, events};
use crate::support::client::{Client, lines_of, path};
use crate::support::eventually;
use crate::support::server::Server;

struct Servers {
    products: Server,
    orders: Server,
    gateway: Server,
    dir: TempDir,
}

impl Servers {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = |name: &str| format!("sqlite:{}", dir.path().join(name).display());
        let products = Server::start("products", &["--store", &store("products.db")], "127.0.0.1:0");
        let arguments = ["--store", &store("orders.db"), "--products-url", &products.address];
        let orders = Server::start("orders", &arguments, "127.0.0.1:0");
        let gateway = gateway(&dir, orders.port(), products.port(), "");
        Self { products, orders, gateway, dir }
    }

    fn client(&self) -> Client {
        Client::new(&self.gateway.address, &self.gateway.address)
    }
}

/// A gateway in front of these: addresses, several separated by `", "`.
pub(super) fn gateway(dir: &TempDir, orders: &str, products: &str, more: &str) -> Server {
    let file = dir.path().join("gateway.toml");
    let text = format!(
        "[upstreams.orders]\nendpoints = [\"{orders}\"]\n{more}\n[upstreams.products]\nendpoints = [\"{products}\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    Server::start("gateway", &["--config", file.to_str().unwrap()], "127.0.0.1:0")
}

#[tokio::test]
async fn three_servers_place_an_order_and_log_it_as_one_trace() {
    let servers = Servers::start();
    let client = servers.client();
    client.product("A", 5).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let order = client.call("POST", "/v1/orders").header("x-request-id", "the-order");
    let order = order.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let order = order.json(&json!({"lines": lines_of(&[("A", 2)])})).send().await;
    assert_eq!(order.header("x-request-id"), Some("the-order"));
    let order = order.ok(201);
    assert_eq!(client.stock("A").await, (5, 2, 3));
    let short = client.post("/v1/orders", &json!({"lines": lines_of(&[("A", 4)])})).await;
    assert_eq!(short.problem(409, "insufficient_stock")["lines"][0]["available"], 3);
    let unknown = client.post("/v1/orders", &json!({"lines": lines_of(&[("X", 4)])})).await;
    unknown.problem(422, "unknown_product");
    client.act(&order, "ship").await.ok(200);
    client.stock_becomes("A", 3, 0).await;
    for server in [&servers.products, &servers.orders, &servers.gateway] {
        let operator = Client::new(&server.admin, &server.admin);
        operator.get("/readyz").await.ok(200);
        operator.get("/status").await.ok(200);
    }
    let mut all = Vec::new();
    for server in [servers.gateway, servers.orders, servers.products] {
        let ended = server.process.stop();
        assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
        all.extend(events(&ended.out));
    }
    let (found, traces) = &accesses(&all)["the-order"];
    assert_eq!(traces, &[trace], "{found:?}");
    assert_eq!(found[..2], ["gateway.access 201", "orders.access 201"]);
    assert!(found.len() > 2 && found[2..].iter().all(|access| access == "products.access 201"), "{found:?}");
}

#[tokio::test]
async fn products_that_are_away_are_503_and_orders_recover_with_them() {
    let mut servers = Servers::start();
    let client = servers.client();
    client.product("A", 5).await;
    let first = client.order(&[("A", 1)]).await;
    let listen = servers.products.port().to_owned();
    servers.products.process.kill();
    let order = json!({"lines": lines_of(&[("A", 1)]), "customer_id": "unlucky"});
    for _ in 0..3 {
        let away = client.call("POST", "/v1/orders").header("idempotency-key", "k").json(&order).send().await;
        assert_eq!(away.problem(503, "products_unavailable")["retryable"], true);
        assert!(away.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    }
    client
        .patch(&path(&first), &json!({"lines": lines_of(&[("A", 3)])}))
        .await
        .problem(503, "products_unavailable");
    client.get("/v1/products").await.problem(502, "upstream_unreachable");
    assert_eq!(client.get(&path(&first)).await.ok(200), first, "what needs no products goes on");
    // Its stock is given back when products are there again.
    let cancelled = client.act(&first, "cancel").await.ok(200);
    assert_eq!(client.get("/v1/orders").await.ok(200)["data"], json!([cancelled]));

    let store = format!("sqlite:{}", servers.dir.path().join("products.db").display());
    servers.products = Server::start("products", &["--store", &store], &listen);
    eventually("orders have recovered", async || {
        client.call("POST", "/v1/orders").header("idempotency-key", "k").json(&order).send().await.status
            == 201
    })
    .await;
    client.stock_becomes("A", 5, 1).await;
    let mine = client.get("/v1/orders?customer_id=unlucky&include=total").await.ok(200);
    assert_eq!(mine["total"], 1, "placed once");
}

#[tokio::test]
async fn a_key_in_flight_says_so() {
    // Products that take a connection and never answer.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    let orders = Server::start("orders", &["--store", "memory:", "--products-url", &url], "127.0.0.1:0");
    let client = Client::new(&orders.address, &url);
    let order = json!({"lines": lines_of(&[("A", 1)])});
    let call = || client.call("POST", "/v1/orders").header("idempotency-key", "k").json(&order);
    let first = tokio::spawn(call().send());
    let connection = mute.accept().await.unwrap();
    let second = call().send().await;
    assert_eq!(second.problem(409, "idempotency_key_in_flight")["retryable"], true);
    assert_eq!(second.header("retry-after"), Some("1"));
    first.await.unwrap().problem(503, "products_unavailable");
    drop(connection);
}

#[tokio::test]
async fn an_upstream_that_is_late_is_504_and_one_that_is_away_502() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = mute.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away: SocketAddr = free.local_addr().unwrap();
    drop(free);
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(&dir, &late.to_string(), &away.to_string(), "response_timeout = \"200ms\"");
    let client = Client::new(&gateway.address, &gateway.address);
    client.get("/v1/orders").await.problem(504, "upstream_timeout");
    client.get("/v1/products").await.problem(502, "upstream_unreachable");
    let ended = gateway.process.stop();
    let statuses: Vec<Value> = events(&ended.out)
        .iter()
        .filter(|event| event["event"]["dataset"] == "gateway.access")
        .map(|event| event["http"]["response"]["status_code"].clone())
        .collect();
    assert_eq!(statuses, [504, 502], "{ended:?}");
}
