use serde_json::{Value, json};

use crate::settings::{Tested, in_every_setting};
use crate::support::client::{lines_of, path};
use crate::support::{new_id, unique};

in_every_setting!(
    an_order_is_placed_at_the_products_prices,
    what_cannot_be_had_takes_nothing,
    an_edit_takes_or_gives_back_the_difference,
    an_edit_of_another_version_is_refused,
    an_order_goes_its_way_and_no_other,
    a_deleted_order_is_in_no_list,
    lists_are_filtered_sorted_and_paged,
    a_faulty_query_is_refused,
    every_change_is_in_the_feed_once_and_in_order,
    what_is_not_there_is_404,
    one_unit_is_sold_once,
);

async fn an_order_is_placed_at_the_products_prices(shop: Tested) {
    let (mug, tea) = (unique("MUG"), unique("TEA"));
    let (one, two) = (shop.product(&mug, 10).await, shop.product(&tea, 5).await);
    let body = json!({
        "lines": [{"sku": mug, "quantity": 2}, {"product_id": two["id"], "quantity": 1}],
        "customer_id": "c-7", "reference": "web/é", "metadata": {"gift": "yes"},
        "expected_total": {"amount": "14.85", "currency": "EUR"},
    });
    let placed = shop.post("/v1/orders", &body).await;
    let order = placed.ok(201);
    let money = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    let (id, number, at) = (&order["id"], &order["number"], &order["placed_at"]);
    let expected = json!({
        "id": id, "number": number, "status": "placed", "customer_id": "c-7", "reference": "web/é",
        "metadata": {"gift": "yes"},
        "lines": [
            {"line": 1, "product_id": one["id"], "sku": mug, "name": one["name"], "unit_price": money("4.95"),
             "quantity": 2, "total": money("9.90")},
            {"line": 2, "product_id": two["id"], "sku": tea, "name": two["name"], "unit_price": money("4.95"),
             "quantity": 1, "total": money("4.95")},
        ],
        "total": money("14.85"), "version": 1, "placed_at": at, "updated_at": at,
        "shipped_at": null, "delivered_at": null, "cancelled_at": null,
    });
    assert_eq!(order, expected, "this and nothing more");
    assert!(number.as_u64() > Some(0) && at.as_str().unwrap().ends_with('Z'), "{order}");
    assert_eq!(placed.header("location"), Some(&*path(&order)));
    assert_eq!(placed.header("etag"), Some("\"1\""));
    let read = shop.get(&path(&order)).await;
    assert_eq!((read.ok(200), read.header("etag")), (order.clone(), Some("\"1\"")));
    shop.call("GET", &path(&order)).header("if-none-match", "\"1\"").send().await.empty(304);
    assert_eq!((shop.stock(&mug).await, shop.stock(&tea).await), ((10, 2, 8), (5, 1, 4)));
}

async fn what_cannot_be_had_takes_nothing(shop: Tested) {
    let (few, none, usd) = (unique("FEW"), unique("NONE"), unique("USD"));
    let (a, b) = (shop.product(&few, 3).await, shop.product(&none, 0).await);
    let mut dollars = crate::support::client::product(&usd, 3);
    dollars["price"]["currency"] = json!("USD");
    shop.post("/v1/products", &dollars).await.ok(201);
    let customer = unique("customer");
    let order = async |lines: &[(&str, i64)], total: Value| {
        let mut body = json!({"lines": lines_of(lines), "customer_id": customer});
        if !total.is_null() {
            body["expected_total"] = total;
        }
        shop.post("/v1/orders", &body).await
    };
    let short = order(&[(&few, 2), (&usd, 1), (&none, 1), (&few, 2)], Value::Null).await;
    let mut lines = short.problem(409, "insufficient_stock")["lines"].as_array().unwrap().clone();
    lines.sort_by_key(|line| line["sku"].to_string());
    let expected = [
        json!({"product_id": a["id"], "sku": few, "requested": 4, "available": 3}),
        json!({"product_id": b["id"], "sku": none, "requested": 1, "available": 0}),
    ];
    assert_eq!(lines, expected, "every short line, summed");
    let unknown = order(&[("nope-1", 1), (&few, 1), ("nope-2", 1)], Value::Null).await;
    let expected = json!([{"line": 0, "sku": "nope-1", "status": "unknown"}, {"line": 2, "sku": "nope-2", "status": "unknown"}]);
    assert_eq!(unknown.problem(422, "unknown_product")["lines"], expected, "every unknown line");
    order(&[(&few, 1), (&usd, 1)], Value::Null).await.problem(422, "mixed_currencies");
    let dearer = order(&[(&few, 2)], json!({"amount": "9.89", "currency": "EUR"})).await;
    assert_eq!(dearer.problem(409, "price_changed")["total"], json!({"amount": "9.90", "currency": "EUR"}));
    assert_eq!((shop.stock(&few).await, shop.stock(&usd).await), ((3, 0, 3), (3, 0, 3)));
    let list = shop.get(&format!("/v1/orders?customer_id={customer}")).await.ok(200);
    assert_eq!(list, json!({"data": [], "next_cursor": null}));
}

async fn an_edit_takes_or_gives_back_the_difference(shop: Tested) {
    let (a, b, c) = (unique("EDIT"), unique("EDIT"), unique("EDIT"));
    for sku in [&a, &b, &c] {
        shop.product(sku, 10).await;
    }
    let order = shop.order(&[(&a, 4), (&b, 2)]).await;
    let edited = shop.patch(&path(&order), &json!({"lines": lines_of(&[(&a, 6), (&c, 1)])})).await;
    assert_eq!(edited.header("etag"), Some("\"2\""));
    let edited = edited.ok(200);
    assert_eq!((&edited["total"]["amount"], &edited["placed_at"]), (&json!("34.65"), &order["placed_at"]));
    assert_eq!((shop.stock(&a).await, shop.stock(&c).await), ((10, 6, 4), (10, 1, 9)));
    shop.stock_becomes(&b, 10, 0).await;
    let meta = json!({"customer_id": "x", "reference": "r", "metadata": {"a": "1", "b": "2"}});
    shop.patch(&path(&order), &meta).await.ok(200);
    let meta = json!({"customer_id": null, "metadata": {"a": null, "c": "3"}});
    let edited = shop.patch(&path(&order), &meta).await.ok(200);
    assert_eq!((&edited["customer_id"], &edited["reference"]), (&json!(null), &json!("r")));
    assert_eq!(edited["metadata"], json!({"b": "2", "c": "3"}));
    for (body, status, code) in [
        (json!({"lines": lines_of(&[(&a, 11), (&b, 1)])}), 409, "insufficient_stock"),
        (json!({"lines": lines_of(&[(&a, 1), ("nope", 1)])}), 422, "unknown_product"),
        (json!({"lines": []}), 422, "invalid"),
        (json!({"lines": lines_of(&[(&a, 0)])}), 422, "invalid"),
        (json!({"status": "shipped"}), 400, "invalid_body"),
        (json!([]), 400, "invalid_body"),
    ] {
        shop.patch(&path(&order), &body).await.problem(status, code);
    }
    let json = shop.call("PATCH", &path(&order)).json(&json!({"reference": "x"})).send().await;
    json.problem(415, "unsupported_media_type");
    assert_eq!(shop.get(&path(&order)).await.ok(200), edited);
    assert_eq!((shop.stock(&a).await, shop.stock(&b).await), ((10, 6, 4), (10, 0, 10)));
}

async fn an_edit_of_another_version_is_refused(shop: Tested) {
    let sku = unique("STALE");
    shop.product(&sku, 10).await;
    let order = shop.order(&[(&sku, 1)]).await;
    let at = path(&order);
    let changes = |tag: &'static str| {
        let lines = json!({"lines": lines_of(&[(&sku, 5)])}).to_string();
        [
            shop.call("PATCH", &at).body("application/merge-patch+json", lines),
            shop.call("DELETE", &at),
            shop.call("POST", &format!("{at}/cancel")),
            shop.call("POST", &format!("{at}/ship")),
        ]
        .map(|call| call.header("if-match", tag))
    };
    for stale in ["\"0\"", "\"2\"", "W/\"1\"", "\"x\""] {
        for change in changes(stale) {
            change.send().await.problem(412, "version_mismatch");
        }
    }
    for change in changes("1") {
        change.send().await.problem(400, "invalid_header");
    }
    assert_eq!((shop.get(&at).await.ok(200), shop.stock(&sku).await), (order.clone(), (10, 1, 9)));
    let [patch, ..] = changes("\"7\", \"1\"");
    patch.send().await.ok(200);
    let [.., ship] = changes("\"2\"");
    ship.send().await.ok(200);
    let [_, delete, ..] = changes("*");
    delete.send().await.empty(204);
}

async fn an_order_goes_its_way_and_no_other(shop: Tested) {
    let sku = unique("WAY");
    shop.product(&sku, 100).await;
    for (way, status, refused) in [
        (&[][..], "placed", &["deliver"][..]),
        (&["ship"], "shipped", &["ship", "cancel"]),
        (&["ship", "deliver"], "delivered", &["ship", "deliver", "cancel"]),
        (&["cancel"], "cancelled", &["ship", "deliver", "cancel"]),
    ] {
        let order = shop.order(&[(&sku, 5)]).await;
        for (step, version) in way.iter().zip(2..) {
            let moved = shop.act(&order, step).await;
            assert_eq!(
                (moved.ok(200)["version"].clone(), moved.header("etag")),
                (json!(version), Some(&*format!("\"{version}\"")))
            );
        }
        let before = shop.get(&path(&order)).await.ok(200);
        assert_eq!(before["status"], status);
        let at = |name: &str| before[name].is_string();
        assert_eq!((at("shipped_at"), at("delivered_at")), (way.contains(&"ship"), way.contains(&"deliver")));
        assert_eq!(at("cancelled_at"), way.contains(&"cancel"));
        for action in refused {
            let problem = shop.act(&order, action).await.problem(409, "illegal_transition");
            assert_eq!(problem["from"], status);
        }
        if status != "placed" {
            shop.patch(&path(&order), &json!({"reference": "x"})).await.problem(409, "illegal_transition");
        }
        assert_eq!(shop.get(&path(&order)).await.ok(200), before);
    }
    // Two of four were shipped, one is still placed, one was cancelled.
    shop.stock_becomes(&sku, 90, 5).await;
}

async fn a_deleted_order_is_in_no_list(shop: Tested) {
    let (sku, customer) = (unique("DEL"), unique("customer"));
    shop.product(&sku, 100).await;
    for way in [&[][..], &["ship"], &["ship", "deliver"], &["cancel"]] {
        let body = json!({"lines": lines_of(&[(&sku, 1)]), "customer_id": customer});
        let order = shop.post("/v1/orders", &body).await.ok(201);
        for step in way {
            shop.act(&order, step).await.ok(200);
        }
        shop.delete(&path(&order)).await.empty(204);
        for gone in [
            shop.get(&path(&order)).await,
            shop.get(&format!("{}/history", path(&order))).await,
            shop.delete(&path(&order)).await,
            shop.act(&order, "cancel").await,
            shop.patch(&path(&order), &json!({"reference": "x"})).await,
        ] {
            gone.problem(404, "not_found");
        }
    }
    let list = shop.get(&format!("/v1/orders?customer_id={customer}&include=total")).await.ok(200);
    assert_eq!(list, json!({"data": [], "next_cursor": null, "total": 0}));
    shop.stock_becomes(&sku, 98, 0).await;
}

async fn lists_are_filtered_sorted_and_paged(shop: Tested) {
    let (sku, customer) = (unique("PAGE"), unique("customer &/é"));
    shop.product(&sku, 100).await;
    let mut orders = Vec::new();
    for n in 0..5 {
        let body = json!({"lines": lines_of(&[(&sku, 1)]), "customer_id": customer, "reference": format!("{customer}-{n}")});
        orders.push(shop.post("/v1/orders", &body).await.ok(201));
    }
    shop.act(&orders[1], "cancel").await.ok(200);
    shop.act(&orders[2], "ship").await.ok(200);
    let word = |text: &str| {
        text.replace('%', "%25")
            .replace('&', "%26")
            .replace('/', "%2F")
            .replace(' ', "+")
            .replace('é', "%C3%A9")
    };
    let mine = format!("customer_id={}", word(&customer));
    let third = format!("reference={}", word(&format!("{customer}-3")));
    let until = format!("sort=placed_at&placed_before={}", orders[0]["placed_at"].as_str().unwrap());
    let since = format!("sort=placed_at&placed_after={}", orders[0]["placed_at"].as_str().unwrap());
    for (query, expected) in [
        ("", &[4, 3, 2, 1, 0][..]),
        ("sort=-placed_at", &[4, 3, 2, 1, 0]),
        ("sort=placed_at", &[0, 1, 2, 3, 4]),
        ("status=placed", &[4, 3, 0]),
        ("status=cancelled", &[1]),
        ("status=shipped", &[2]),
        ("status=delivered", &[]),
        (&third, &[3]),
        (&until, &[]),
        (&since, &[0, 1, 2, 3, 4]),
    ] {
        let (mut target, mut found) =
            (Some(format!("/v1/orders?{mine}&limit=2&include=total&{query}")), Vec::new());
        while let Some(asked) = target {
            let page = shop.get(&asked).await;
            let list = page.ok(200);
            assert_eq!(list["total"], expected.len(), "{query}");
            found.extend(list["data"].as_array().unwrap().iter().map(|order| order["id"].clone()));
            target = page.next();
            assert_eq!(list["next_cursor"].is_null(), target.is_none());
        }
        let expected: Vec<_> = expected.iter().map(|n: &usize| orders[*n]["id"].clone()).collect();
        assert_eq!(found, expected, "{query}");
    }
    let plain = shop.get(&format!("/v1/orders?{mine}&limit=5")).await;
    assert!(plain.ok(200).get("total").is_none() && plain.next().is_none(), "{plain:?}");
}

async fn a_faulty_query_is_refused(shop: Tested) {
    for (query, pointers) in [
        ("orders?limit=0", &["?limit"][..]),
        ("orders?limit=501", &["?limit"]),
        ("orders?cursor=nonsense", &["?cursor"]),
        ("orders?status=PLACED", &["?status"]),
        ("orders?sort=total", &["?sort"]),
        ("orders?include=everything", &["?include"]),
        ("orders?placed_after=yesterday", &["?placed_after"]),
        ("orders?customer_id=%00", &["?customer_id"]),
        ("orders?status=placed&status=shipped", &["?status"]),
        ("orders?limit=0&status=lost&colour=red", &["?colour", "?limit", "?status"]),
        ("events?after=-1", &["?after"]),
        ("events?limit=501", &["?limit"]),
        ("events?cursor=x", &["?cursor"]),
    ] {
        let refused = shop.get(&format!("/v1/{query}")).await;
        assert_eq!(refused.pointers(400, "invalid_query"), pointers, "{query}");
    }
}

async fn every_change_is_in_the_feed_once_and_in_order(shop: Tested) {
    let sku = unique("FEED");
    shop.product(&sku, 100).await;
    // Other tests' orders are in the feed too.
    let order = shop.order(&[(&sku, 1)]).await;
    shop.patch(&path(&order), &json!({"reference": "r"})).await.ok(200);
    shop.act(&order, "ship").await.ok(200);
    let delivered = shop.act(&order, "deliver").await.ok(200);
    let other = shop.order(&[(&sku, 1)]).await;
    shop.delete(&path(&other)).await.empty(204);
    let (mut after, mut mine, mut its) = (0, Vec::new(), Vec::new());
    loop {
        let page = shop.get(&format!("/v1/events?after={after}&limit=7")).await.ok(200);
        let events = page["data"].as_array().unwrap();
        for event in events {
            let sequence = event["sequence"].as_u64().unwrap();
            assert!(sequence > after, "{event}");
            after = sequence;
            mine.extend((event["order_id"] == order["id"]).then(|| event.clone()));
            its.extend((event["order_id"] == other["id"]).then(|| event["type"].clone()));
        }
        assert_eq!(page["next_after"], after);
        if events.is_empty() {
            break;
        }
    }
    let types: Vec<_> = mine.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["order.placed", "order.edited", "order.shipped", "order.delivered"]);
    assert_eq!((&mine[0]["data"], &mine[0]["at"]), (&order, &order["placed_at"]));
    assert_eq!(mine[3]["data"], delivered);
    assert_eq!(its, ["order.placed", "order.cancelled", "order.deleted"]);

    let (mut target, mut pages) = (Some(format!("{}/history?limit=3", path(&order))), Vec::new());
    while let Some(asked) = target {
        let page = shop.get(&asked).await;
        pages.extend(page.ok(200)["data"].as_array().unwrap().iter().map(|event| event["type"].clone()));
        target = page.next();
    }
    assert_eq!(pages, types);
}

async fn what_is_not_there_is_404(shop: Tested) {
    let at = format!("/v1/orders/{}", new_id());
    shop.get(&at).await.problem(404, "not_found");
    shop.get(&format!("{at}/history")).await.problem(404, "not_found");
    shop.delete(&at).await.problem(404, "not_found");
    shop.patch(&at, &json!({"reference": "x"})).await.problem(404, "not_found");
    for action in ["cancel", "ship", "deliver"] {
        shop.call("POST", &format!("{at}/{action}")).send().await.problem(404, "not_found");
    }
    shop.get("/v1/orders/17").await.problem(400, "invalid_path");
}

async fn one_unit_is_sold_once(shop: Tested) {
    let sku = unique("LAST");
    shop.product(&sku, 1).await;
    let buyers: Vec<_> = (0..50)
        .map(|_| {
            let call = shop.call("POST", "/v1/orders").json(&json!({"lines": lines_of(&[(&sku, 1)])}));
            tokio::spawn(call.send())
        })
        .collect();
    let mut sold = 0;
    for buyer in buyers {
        let reply = buyer.await.unwrap();
        if reply.status == 201 {
            sold += 1;
        } else {
            reply.problem(409, "insufficient_stock");
        }
    }
    assert_eq!((sold, shop.stock(&sku).await), (1, (1, 1, 0)));
}
