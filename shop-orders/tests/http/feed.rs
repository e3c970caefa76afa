use serde_json::{Value, json};

use crate::support::{On, Shop, on_every_store, target};

on_every_store!(
    every_change_is_in_the_feed_once_and_in_order,
    a_consumer_that_continues_misses_nothing,
    an_order_has_its_history,
    faulty_parameters_are_refused,
);

/// Two orders, and everything that can happen to one.
async fn a_day(shop: &Shop) -> (Value, Value) {
    shop.product("A", 100, "1 EUR").await;
    let first = shop.order(&[("A", 1)]).await;
    let second = shop.order(&[("A", 2)]).await;
    shop.patch(&first, &json!({"reference": "r"})).send().await.ok(200);
    shop.action(&first, "ship").send().await.ok(200);
    shop.wait(60);
    shop.action(&first, "deliver").send().await.ok(200);
    assert_eq!(shop.delete(&second).send().await.status, 204);
    (first, second)
}

fn types(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

fn last(page: &Value) -> u64 {
    page["data"].as_array().unwrap().last().unwrap()["sequence"].as_u64().unwrap()
}

const DAY: [&str; 7] = [
    "order.placed",
    "order.placed",
    "order.edited",
    "order.shipped",
    "order.delivered",
    "order.cancelled",
    "order.deleted",
];

async fn every_change_is_in_the_feed_once_and_in_order(on: On) {
    let shop = on.shop().await;
    let empty = shop.get("/v1/events").send().await.ok(200);
    assert_eq!(empty, json!({"data": [], "next_after": 0}));
    let (first, second) = a_day(&shop).await;
    let feed = shop.get("/v1/events").send().await.ok(200);
    assert_eq!(types(&feed), DAY);
    let events = feed["data"].as_array().unwrap();
    assert!(events.windows(2).all(|pair| pair[0]["sequence"].as_u64() < pair[1]["sequence"].as_u64()));
    let placed = &events[0];
    let sequence = placed["sequence"].clone();
    let expected = json!({
        "sequence": sequence, "type": "order.placed", "order_id": first["id"], "at": first["placed_at"], "data": first,
    });
    assert_eq!(*placed, expected, "this and nothing more");
    assert_eq!((&events[1]["order_id"], &events[1]["data"]), (&second["id"], &second));
    assert_eq!(events[2]["data"]["reference"], "r");
    assert_eq!(events[4]["data"], shop.again(&first).await);
    assert_eq!(events[4]["at"], shop.now().to_string());
    assert_eq!(events[6]["data"]["status"], "cancelled");
    assert_eq!(feed["next_after"], last(&feed));
}

async fn a_consumer_that_continues_misses_nothing(on: On) {
    let shop = on.shop().await;
    a_day(&shop).await;
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let feed = shop.get(&format!("/v1/events?after={after}&limit=3")).send().await.ok(200);
        let page = types(&feed);
        if page.is_empty() {
            assert_eq!(feed["next_after"], after, "to be asked again");
            break;
        }
        assert!(page.len() <= 3);
        seen.extend(page);
        after = feed["next_after"].as_u64().unwrap();
        assert_eq!(after, last(&feed));
    }
    assert_eq!(seen, DAY);
    shop.order(&[("A", 1)]).await;
    let news = shop.get(&format!("/v1/events?after={after}")).send().await.ok(200);
    assert_eq!(types(&news), ["order.placed"]);
    let end = shop.get(&format!("/v1/events?after={}", i64::MAX)).send().await.ok(200);
    assert_eq!(end, json!({"data": [], "next_after": i64::MAX}));
}

async fn an_order_has_its_history(on: On) {
    let shop = on.shop().await;
    let (first, second) = a_day(&shop).await;
    let history = format!("{}/history", target(&first));
    let page = shop.get(&history).send().await.ok(200);
    assert_eq!(types(&page), ["order.placed", "order.edited", "order.shipped", "order.delivered"]);
    assert_eq!(page["next_cursor"], json!(null));
    assert!(page["data"].as_array().unwrap().iter().all(|event| event["order_id"] == first["id"]));
    let mut next = Some(format!("{history}?limit=3"));
    let mut pages = Vec::new();
    while let Some(target) = next {
        let reply = shop.get(&target).send().await;
        pages.push(types(&reply.ok(200)).len());
        next = reply.header("link").map(|link| link[1..].split('>').next().unwrap().to_owned());
    }
    assert_eq!(pages, [3, 1]);
    shop.get(&format!("{}/history", target(&second))).send().await.problem(404, "not_found");
}

async fn faulty_parameters_are_refused(on: On) {
    let shop = on.shop().await;
    let (first, _) = a_day(&shop).await;
    for (query, pointer) in [
        ("after=-1", "?after"),
        ("after=x", "?after"),
        ("after=9223372036854775808", "?after"),
        ("after=18446744073709551616", "?after"),
        ("limit=0", "?limit"),
        ("limit=501", "?limit"),
        ("cursor=Nw", "?cursor"),
        ("after=1&after=2", "?after"),
    ] {
        let reply = shop.get(&format!("/v1/events?{query}")).send().await;
        assert_eq!(reply.pointers(400, "invalid_query"), [pointer], "{query}");
    }
    for (query, pointer) in [("cursor=x", "?cursor"), ("limit=0", "?limit"), ("after=1", "?after")] {
        let reply = shop.get(&format!("{}/history?{query}", target(&first))).send().await;
        assert_eq!(reply.pointers(400, "invalid_query"), [pointer], "{query}");
    }
    // A cursor of another list has another shape; one that no store reaches is the end.
    let list = shop.get("/v1/orders?sort=placed_at&limit=1").send().await.ok(200);
    shop.order(&[("A", 1)]).await;
    let cursor = shop.get("/v1/orders?limit=1").send().await.ok(200)["next_cursor"].clone();
    let reply =
        shop.get(&format!("{}/history?cursor={}", target(&first), cursor.as_str().unwrap())).send().await;
    assert_eq!(reply.pointers(400, "invalid_query"), ["?cursor"], "{list}");
    let far = shop_core::Cursor::encode(&u64::MAX).0;
    let end = shop.get(&format!("{}/history?cursor={far}", target(&first))).send().await.ok(200);
    assert_eq!(end, json!({"data": [], "next_cursor": null}));
}
