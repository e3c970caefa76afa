//! Orders in PostgreSQL and products in MongoDB or PostgreSQL too, two instances of each behind one gateway.

use std::sync::Arc;

use serde_json::json;
use shop_core::postgres;
use shop_products::store::mongodb;

use crate::separate::gateway;
use crate::support::client::{Client, lines_of, path};
use crate::support::server::Server;

/// Buyers at once, each of one unit of each of two products.
const BUYERS: usize = 60;
/// Units that there are of the scarcer one.
const UNITS: i64 = 25;

#[tokio::test]
async fn two_instances_of_each_sell_what_there_is_and_no_more() {
    let databases = (postgres::TestDatabase::create().await, mongodb::TestDatabase::fresh());
    sell_what_there_is(&databases.0.url(), databases.1.url()).await;
}

#[tokio::test]
async fn so_they_do_with_all_of_it_in_one_postgresql() {
    let database = postgres::TestDatabase::create().await;
    sell_what_there_is(&database.url(), &database.url()).await;
}

async fn sell_what_there_is(orders_store: &str, products_store: &str) {
    let products: Vec<_> =
        (0..2).map(|_| Server::start("products", &["--store", products_store], "127.0.0.1:0")).collect();
    let orders: Vec<_> = products
        .iter()
        .map(|products| {
            let arguments = ["--store", orders_store, "--products-url", &products.address];
            Server::start("orders", &arguments, "127.0.0.1:0")
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let both = |servers: &[Server]| format!("{}\", \"{}", servers[0].port(), servers[1].port());
    let gateway = gateway(&dir, &both(&orders), &both(&products), "");
    let client = Arc::new(Client::new(&gateway.address, &gateway.address));
    client.product("SCARCE", UNITS).await;
    client.product("AMPLE", 1_000).await;

    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            let client = client.clone();
            // In opposite order, as two baskets may have them.
            let lines =
                if buyer % 2 == 0 { [("SCARCE", 1), ("AMPLE", 1)] } else { [("AMPLE", 1), ("SCARCE", 1)] };
            tokio::spawn(async move {
                let order =
                    client.call("POST", "/v1/orders").header("idempotency-key", &format!("buyer-{buyer}"));
                order.json(&json!({"lines": lines_of(&lines)})).send().await
            })
        })
        .collect();
    let mut placed = Vec::new();
    for buyer in buyers {
        let reply = buyer.await.unwrap();
        match reply.status {
            201 => placed.push(reply.ok(201)),
            _ => drop(reply.problem(409, "insufficient_stock")),
        }
    }
    assert_eq!(placed.len() as i64, UNITS);
    assert_eq!(client.stock("SCARCE").await, (UNITS, UNITS, 0));
    assert_eq!(client.stock("AMPLE").await, (1_000, UNITS, 1_000 - UNITS));

    // Whichever instance is asked: each knows all orders, and what one has cancelled is stock for all.
    for instance in &orders {
        let listed =
            Client::new(&instance.address, &instance.address).get("/v1/orders?include=total").await.ok(200);
        assert_eq!(listed["total"], UNITS);
    }
    client.act(&placed[0], "cancel").await.ok(200);
    client.stock_becomes("SCARCE", UNITS, UNITS - 1).await;
    client.act(&placed[1], "ship").await.ok(200);
    client.stock_becomes("SCARCE", UNITS - 1, UNITS - 2).await;
    client.get(&path(&placed[1])).await.ok(200);
    for server in orders.into_iter().chain(products).chain([gateway]) {
        let ended = server.process.stop();
        assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    }
}
