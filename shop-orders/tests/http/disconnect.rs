use http_body_util::Full;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::support::{On, eventually, lines_of, on_every_store};

on_every_store!(
    an_order_is_placed_though_its_client_is_gone,
    a_dropped_call_in_process_places_its_order,
    an_order_is_cancelled_though_its_client_is_gone,
);

async fn an_order_is_placed_though_its_client_is_gone(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    shop.catalog.shut();
    let body = json!({"lines": lines_of(&[("A", 3)]), "reference": "gone"}).to_string();
    let mut client = TcpStream::connect(shop.address).await.unwrap();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body.as_bytes()).await.unwrap();
    shop.catalog.arrival().await;
    drop(client);
    assert_eq!(shop.get("/v1/orders").send().await.ok(200)["data"], json!([]), "not decided yet");
    shop.catalog.open();
    eventually("the order", async || {
        let list = shop.get("/v1/orders?reference=gone").send().await.ok(200);
        list["data"].as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(shop.stock("A").await, (10, 3));
}

async fn a_dropped_call_in_process_places_its_order(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    shop.catalog.shut();
    let body = json!({"lines": lines_of(&[("A", 3)])}).to_string();
    let request = hyper::Request::post("/v1/orders").header("content-type", "application/json");
    let call = shop.app.clone().call(request.body(Full::from(body)).unwrap());
    tokio::select! {
        answer = call => panic!("answered before products did: {answer:?}"),
        _ = shop.catalog.arrival() => {}
    }
    // The select has dropped the call.
    shop.catalog.open();
    eventually("the order", async || {
        shop.get("/v1/orders").send().await.ok(200)["data"].as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(shop.stock("A").await, (10, 3));
}

async fn an_order_is_cancelled_though_its_client_is_gone(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 3)]).await;
    let mut client = TcpStream::connect(shop.address).await.unwrap();
    let head =
        format!("POST /v1/orders/{}/cancel HTTP/1.1\r\nhost: shop\r\n\r\n", order["id"].as_str().unwrap());
    client.write_all(head.as_bytes()).await.unwrap();
    drop(client);
    eventually("cancelled", async || shop.again(&order).await["status"] == "cancelled").await;
    shop.stock_becomes("A", (10, 0)).await;
}
