use serde_json::{Value, json};

use crate::support::{Call, On, Shop, lines_of, on_every_store, target};

on_every_store!(
    lists_are_in_the_order_asked_for,
    filters_narrow_a_list_down,
    pages_follow_each_other_by_their_links,
    rows_that_come_while_paging_shift_nothing,
    a_faulty_query_names_every_fault,
    a_version_that_is_known_is_not_sent_again,
    what_is_not_there_is_404,
);

async fn five_orders(shop: &Shop) -> Vec<Value> {
    shop.product("A", 100, "1 EUR").await;
    let mut orders = Vec::new();
    for n in 0..5 {
        let customer = if n % 2 == 0 { "even" } else { "odd & co" };
        let body = json!({"lines": lines_of(&[("A", n + 1)]), "customer_id": customer, "reference": format!("r{n}")});
        orders.push(shop.post("/v1/orders", &body).send().await.ok(201));
        shop.wait(60);
    }
    orders
}

async fn numbers(call: Call) -> Vec<u64> {
    numbers_of(&call.send().await.ok(200))
}

fn numbers_of(page: &Value) -> Vec<u64> {
    page["data"].as_array().unwrap().iter().map(|order| order["number"].as_u64().unwrap()).collect()
}

async fn lists_are_in_the_order_asked_for(on: On) {
    let shop = on.shop().await;
    let empty = shop.get("/v1/orders").send().await;
    assert_eq!(empty.ok(200), json!({"data": [], "next_cursor": null}));
    assert_eq!(empty.header("link"), None);
    let orders = five_orders(&shop).await;
    let page = shop.get("/v1/orders").send().await.ok(200);
    let newest_first: Vec<Value> = orders.iter().rev().cloned().collect();
    assert_eq!(page, json!({"data": newest_first, "next_cursor": null}));
    assert_eq!(numbers(shop.get("/v1/orders?sort=-placed_at")).await, [5, 4, 3, 2, 1]);
    assert_eq!(numbers(shop.get("/v1/orders?sort=placed_at")).await, [1, 2, 3, 4, 5]);
    let head = shop.call("HEAD", "/v1/orders").send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

async fn filters_narrow_a_list_down(on: On) {
    let shop = on.shop().await;
    let orders = five_orders(&shop).await;
    shop.action(&orders[1], "cancel").send().await.ok(200);
    shop.action(&orders[2], "ship").send().await.ok(200);
    let at = |n: usize| orders[n]["placed_at"].as_str().unwrap().to_owned();
    let table = [
        ("status=placed".to_owned(), vec![5, 4, 1]),
        ("status=cancelled".to_owned(), vec![2]),
        ("status=shipped".to_owned(), vec![3]),
        ("status=delivered".to_owned(), vec![]),
        ("customer_id=even".to_owned(), vec![5, 3, 1]),
        ("customer_id=odd+%26%20co".to_owned(), vec![4, 2]),
        ("customer_id=nobody".to_owned(), vec![]),
        ("reference=r3".to_owned(), vec![4]),
        (format!("placed_after={}", at(3)), vec![5, 4]),
        (format!("placed_before={}", at(3)), vec![3, 2, 1]),
        (format!("placed_after={}&placed_before={}&customer_id=even", at(1), at(4)), vec![3]),
        (format!("placed_after={}", at(1).replace("T12:01:00.000Z", "T13:01:00%2B01:00")), vec![5, 4, 3, 2]),
        ("status=placed&customer_id=even&reference=r0".to_owned(), vec![1]),
    ];
    for (query, expected) in table {
        assert_eq!(numbers(shop.get(&format!("/v1/orders?{query}"))).await, expected, "{query}");
        let counted = shop.get(&format!("/v1/orders?{query}&limit=1&include=total")).send().await.ok(200);
        assert_eq!(counted["total"], expected.len(), "{query}");
    }
}

async fn pages_follow_each_other_by_their_links(on: On) {
    let shop = on.shop().await;
    five_orders(&shop).await;
    for (sort, expected) in [("-placed_at", [5, 4, 3, 2, 1]), ("placed_at", [1, 2, 3, 4, 5])] {
        let mut next = Some(format!(
            "/v1/orders?include=total&placed_before=2027-01-01T00%3A00%3A00%2B01:00&limit=2&sort={sort}"
        ));
        let mut pages = Vec::new();
        while let Some(target) = next {
            let reply = shop.get(&target).send().await;
            let page = reply.ok(200);
            assert_eq!(page["total"], 5);
            pages.push(numbers_of(&page));
            next = reply.header("link").map(|link| {
                let target = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
                assert!(target.contains(page["next_cursor"].as_str().unwrap()), "{target}");
                target.to_owned()
            });
            assert_eq!(next.is_none(), page["next_cursor"].is_null());
        }
        assert_eq!(pages, [&expected[..2], &expected[2..4], &expected[4..]]);
    }
}

async fn rows_that_come_while_paging_shift_nothing(on: On) {
    let shop = on.shop().await;
    let orders = five_orders(&shop).await;
    let first = shop.get("/v1/orders?limit=2").send().await.ok(200);
    shop.order(&[("A", 1)]).await;
    shop.delete(&orders[4]).send().await;
    let rest = format!("/v1/orders?limit=10&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(numbers(shop.get(&rest)).await, [3, 2, 1]);
}

async fn a_faulty_query_names_every_fault(on: On) {
    let shop = on.shop().await;
    five_orders(&shop).await;
    let page = shop.get("/v1/orders?limit=1").send().await.ok(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let table = [
        ("limit=0".to_owned(), vec!["?limit"]),
        ("limit=501".to_owned(), vec!["?limit"]),
        ("limit=-1".to_owned(), vec!["?limit"]),
        ("limit=ten".to_owned(), vec!["?limit"]),
        ("limit=18446744073709551616".to_owned(), vec!["?limit"]),
        ("cursor=nonsense".to_owned(), vec!["?cursor"]),
        ("cursor=".to_owned(), vec!["?cursor"]),
        (format!("cursor={cursor}&sort=placed_at"), vec!["?cursor"]),
        ("status=lost".to_owned(), vec!["?status"]),
        ("status=PLACED".to_owned(), vec!["?status"]),
        ("sort=total".to_owned(), vec!["?sort"]),
        ("include=everything".to_owned(), vec!["?include"]),
        ("placed_after=yesterday".to_owned(), vec!["?placed_after"]),
        ("placed_before=2026-02-30T00:00:00Z".to_owned(), vec!["?placed_before"]),
        ("customer_id=%00".to_owned(), vec!["?customer_id"]),
        ("reference=".to_owned(), vec!["?reference"]),
        (format!("reference={}", "x".repeat(256)), vec!["?reference"]),
        ("colour=red".to_owned(), vec!["?colour"]),
        ("status=placed&status=shipped".to_owned(), vec!["?status"]),
        ("limit=0&status=lost&colour=red".to_owned(), vec!["?limit", "?status", "?colour"]),
    ];
    for (query, expected) in table {
        let reply = shop.get(&format!("/v1/orders?{query}")).send().await;
        assert_eq!(reply.pointers(400, "invalid_query"), expected, "{query}");
    }
    shop.get("/v1/orders?reference=%ff").send().await.problem(400, "invalid_query");
    let id = page["data"][0]["id"].as_str().unwrap();
    for (method, path) in [
        ("GET", format!("/v1/orders/{id}?x=1")),
        ("DELETE", format!("/v1/orders/{id}?x=1")),
        ("PATCH", format!("/v1/orders/{id}?x=1")),
        ("POST", format!("/v1/orders/{id}/cancel?x=1")),
        ("POST", format!("/v1/orders/{id}/ship?x=1")),
        ("POST", format!("/v1/orders/{id}/deliver?x=1")),
        ("POST", "/v1/orders?x=1".to_owned()),
        ("GET", format!("/v1/orders/{id}/history?x=1")),
        ("GET", "/v1/events?x=1".to_owned()),
    ] {
        let reply = shop.call(method, &path).send().await;
        assert_eq!(reply.pointers(400, "invalid_query"), ["?x"], "{method} {path}");
    }
}

async fn a_version_that_is_known_is_not_sent_again(on: On) {
    let shop = on.shop().await;
    shop.product("A", 9, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    for known in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let reply = shop.get(&target(&order)).header("if-none-match", known).send().await;
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{known}");
        assert_eq!(reply.header("etag"), Some("\"1\""));
    }
    for other in ["\"2\"", "\"01\"", "\"\""] {
        assert_eq!(shop.get(&target(&order)).header("if-none-match", other).send().await.ok(200), order);
    }
    shop.get(&target(&order)).header("if-none-match", "1").send().await.problem(400, "invalid_header");
    shop.action(&order, "cancel").send().await.ok(200);
    let changed = shop.get(&target(&order)).header("if-none-match", "\"1\"").send().await;
    assert_eq!(changed.ok(200)["version"], 2);
    assert_eq!(changed.header("etag"), Some("\"2\""));
}

async fn what_is_not_there_is_404(on: On) {
    let shop = on.shop().await;
    let nobody = json!({"id": "0198c0de-0000-7000-8000-000000000000"});
    let history = format!("{}/history", target(&nobody));
    for call in [
        shop.get(&target(&nobody)),
        shop.get(&history),
        shop.delete(&nobody),
        shop.patch(&nobody, &json!({"reference": "x"})),
        shop.patch(&nobody, &json!({"lines": [{"sku": "A", "quantity": 1}]})),
        shop.action(&nobody, "cancel"),
        shop.action(&nobody, "ship"),
        shop.action(&nobody, "deliver"),
    ] {
        call.send().await.problem(404, "not_found");
    }
    for bad in ["1", "not-an-id", "%00", "sku:A"] {
        let bad = json!({"id": bad});
        shop.get(&target(&bad)).send().await.problem(400, "invalid_path");
        shop.delete(&bad).send().await.problem(400, "invalid_path");
        shop.action(&bad, "ship").send().await.problem(400, "invalid_path");
        shop.patch(&bad, &json!({})).send().await.problem(400, "invalid_path");
    }
    shop.get("/v1/nothing").send().await.problem(404, "not_found");
    let reply = shop.call("PUT", "/v1/orders").send().await;
    reply.problem(405, "method_not_allowed");
    let allow = reply.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST") && !allow.contains("PUT"), "{allow}");
    assert_eq!(shop.call("OPTIONS", "/v1/orders").send().await.status, 204);
}
