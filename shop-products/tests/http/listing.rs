use serde_json::{Value, json};

use crate::support::Shop;

on_every_store!(
    filters_narrow_down_together,
    every_order_pages_through_all,
    parameters_are_checked,
    the_next_page_keeps_the_filters
);

async fn stocked(shop: &Shop) {
    for (sku, name, amount, tag, status, on_hand) in [
        ("L-1", "Red lamp", "10.00", "light", "active", 5),
        ("L-2", "Blue lamp", "20.00", "light", "active", 0),
        ("L-3", "Table", "20.50", "wood", "draft", 1),
        ("L-4", "Chair", "7", "wood", "archived", 0),
        ("L-5", "Lampshade", "30.00", "light", "active", 2),
    ] {
        let body = json!({"sku": sku, "name": name, "price": {"amount": amount, "currency": "EUR"}, "tags": [tag],
            "status": status, "on_hand": on_hand});
        shop.post("/v1/products", body).await.expect(201);
    }
}

fn skus(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|product| product["sku"].as_str().unwrap()).collect()
}

async fn filters_narrow_down_together(shop: Shop) {
    stocked(&shop).await;
    for (query, expected) in [
        ("", &["L-1", "L-2", "L-3", "L-4", "L-5"][..]),
        ("q=lamp", &["L-1", "L-2", "L-5"]),
        ("q=LAMP%20red", &["L-1"]),
        ("q=", &["L-1", "L-2", "L-3", "L-4", "L-5"]),
        ("q=nothing", &[]),
        ("sku=L-3", &["L-3"]),
        ("tag=wood", &["L-3", "L-4"]),
        ("status=draft", &["L-3"]),
        ("price_min=20", &["L-2", "L-3", "L-5"]),
        ("price_max=20.00", &["L-1", "L-2", "L-4"]),
        ("price_min=20&price_max=20.5", &["L-2", "L-3"]),
        ("in_stock=true", &["L-1", "L-3", "L-5"]),
        ("in_stock=false", &["L-2", "L-4"]),
        ("tag=light&in_stock=true&q=lamp&price_min=15", &["L-5"]),
        ("sort=price", &["L-4", "L-1", "L-2", "L-3", "L-5"]),
        ("sort=-price&limit=2", &["L-5", "L-3"]),
        ("sort=name", &["L-2", "L-4", "L-5", "L-1", "L-3"]),
        ("sort=-sku&tag=light", &["L-5", "L-2", "L-1"]),
        ("sort=-created_at&limit=1", &["L-5"]),
    ] {
        let order = if query.contains("sort=") { "" } else { "&sort=sku" };
        let list = shop.get(&format!("/v1/products?{query}&include=total{order}")).await.expect(200);
        assert_eq!(skus(&list), expected, "{query}");
        if !query.contains("limit") {
            assert_eq!(list["total"], expected.len(), "{query}");
        }
    }
    let plain = shop.get("/v1/products").await.expect(200);
    assert_eq!(plain["next_cursor"], Value::Null);
    assert!(plain.get("total").is_none(), "no total unless asked for");
}

async fn every_order_pages_through_all(shop: Shop) {
    stocked(&shop).await;
    for sort in ["created_at", "updated_at", "name", "sku", "price"] {
        for sort in [sort.to_owned(), format!("-{sort}")] {
            let whole = shop.get(&format!("/v1/products?sort={sort}")).await.expect(200);
            let mut paged = Vec::new();
            let mut path = format!("/v1/products?sort={sort}&limit=2");
            loop {
                let page = shop.get(&path).await;
                let list = page.expect(200);
                paged.extend(list["data"].as_array().unwrap().clone());
                let Some(cursor) = list["next_cursor"].as_str() else {
                    assert!(!page.headers.contains_key("link"));
                    break;
                };
                let link = page.header("link");
                path = link.strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
                assert!(link.ends_with("; rel=\"next\"") && path.contains(cursor), "{link}");
            }
            assert_eq!(json!(paged), whole["data"], "{sort}");
        }
    }
}

async fn the_next_page_keeps_the_filters(shop: Shop) {
    stocked(&shop).await;
    let page = shop.get("/v1/products?q=lamp&sort=sku&limit=1&include=total").await;
    assert_eq!(page.expect(200)["total"], 3);
    let link = page.header("link").strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
    assert!(link.starts_with("/v1/products?q=lamp&sort=sku&limit=1&include=total&cursor="), "{link}");
    assert_eq!(skus(&shop.get(&link).await.expect(200)), ["L-2"]);
}

async fn parameters_are_checked(shop: Shop) {
    stocked(&shop).await;
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "sort=size",
        "colour=red",
        "status=gone",
        "in_stock=maybe",
        "price_min=1e2",
        "price_max=-1",
        "sku=",
        "include=all",
        "q=%00",
        "cursor=abc",
        "limit=1&limit=2",
    ] {
        let refused = shop.get(&format!("/v1/products?{query}")).await;
        refused.problem(400, "invalid_query");
        let name = query.split('=').next().unwrap();
        assert_eq!(refused.faults()[0].0, format!("?{name}"), "{query}");
    }
    let cursor = shop.get("/v1/products?sort=name&limit=1").await.expect(200)["next_cursor"].clone();
    let cursor = cursor.as_str().unwrap();
    shop.get(&format!("/v1/products?sort=-name&cursor={cursor}")).await.problem(400, "invalid_query");
    shop.get(&format!("/v1/products?cursor={cursor}")).await.problem(400, "invalid_query");
    shop.get(&format!("/v1/reservations?cursor={cursor}")).await.problem(400, "invalid_query");
    shop.get("/v1/products/sku:L-1?fields=sku").await.problem(400, "invalid_query");
    let all = shop.get("/v1/products?limit=nope&colour=red").await;
    assert_eq!(all.faults().len(), 2, "every fault at once: {}", all.text);
}
