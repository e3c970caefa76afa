use std::sync::atomic::Ordering;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shop_core::http::{Admin, CancellationToken, Server};
use shop_orders::http::{figures, operator_routes};
use tokio::net::TcpStream;

use crate::support::{On, Shop, eventually, on_every_store};

on_every_store!(the_operator_sees_what_is_not_settled, the_operator_walks_over_both_sides);

async fn admin(shop: &Shop, target: &str) -> Value {
    ask(shop, "GET", target).await
}

async fn ask(shop: &Shop, method: &str, target: &str) -> Value {
    let admin = Admin::new(shop_core::service!("orders"))
        .figure("orders", figures(&shop.orders))
        .routes(operator_routes(shop.orders.clone()))
        .into_app();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), admin).await.unwrap();
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(server.run(stop));
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "admin")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn the_operator_sees_what_is_not_settled(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    eventually("settled", async || shop.orders.doctor().await.unwrap().is_empty()).await;
    assert_eq!(admin(&shop, "/doctor").await, json!({"in_doubt": []}));
    let status = admin(&shop, "/status").await;
    assert_eq!(status["figures"]["orders"]["orders_in_doubt"], 0);
    shop.catalog.down.store(true, Ordering::Relaxed);
    shop.action(&order, "cancel").send().await.ok(200);
    shop.catalog.down.store(false, Ordering::Relaxed);
    shop.stock_becomes("A", (10, 0)).await;
    eventually("settled again", async || admin(&shop, "/doctor").await == json!({"in_doubt": []})).await;
}

async fn the_operator_walks_over_both_sides(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    shop.order(&[("A", 1)]).await;
    eventually("settled", async || shop.orders.doctor().await.unwrap().is_empty()).await;
    let (mut target, mut pages) = ("/reconcile?limit=1".to_owned(), Vec::new());
    loop {
        let page = ask(&shop, if pages.len() % 2 == 0 { "GET" } else { "POST" }, &target).await;
        let next = page["next_cursor"].as_str().map(|cursor| format!("/reconcile?limit=1&cursor={cursor}"));
        pages.push(page);
        let Some(next) = next else { break };
        target = next;
    }
    let figures = |name: &str| pages.iter().map(|page| page[name].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((figures("reservations"), figures("orders")), (vec![1, 0], vec![0, 1]), "{pages:?}");
    assert!(pages.iter().all(|page| page["differences"] == json!([])), "{pages:?}");
}
