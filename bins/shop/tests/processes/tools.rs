use std::fs;

use serde_json::{Value, json};

use crate::support::process::{Ended, project};
use crate::support::shop::Shop;

#[track_caller]
fn done(ended: Ended) -> String {
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    ended.out
}

#[track_caller]
fn json_of(ended: Ended) -> Value {
    serde_json::from_str(&done(ended)).unwrap()
}

#[tokio::test]
async fn a_retailers_sales_become_products_and_come_back_unchanged() {
    let shop = Shop::start(&[]);
    let client = shop.client();
    let sales = project("examples/data/online-retail-2010-12.csv");
    let sales = sales.to_str().unwrap();
    let dry = shop.tool(&["import", sales, "--stock-share", "0.8", "--dry-run"]);
    assert!(done(dry).ends_with("2822 created (dry run: nothing was changed)\n"));
    assert_eq!(client.get("/v1/products?include=total").await.ok(200)["total"], 0);
    let imported = json_of(shop.tool(&["import", sales, "--stock-share", "0.8", "--json"]));
    assert_eq!((&imported["rows"], &imported["refused"]), (&json!({"created": 2822}), &json!([])));
    assert_eq!(client.get("/v1/products?include=total").await.ok(200)["total"], 2822);
    let again = json_of(shop.tool(&["import", sales, "--stock-share", "0.8", "--json"]));
    assert_eq!(again["rows"], json!({"unchanged": 2822}));

    let dir = tempfile::tempdir().unwrap();
    for format in ["ndjson", "csv"] {
        let file = dir.path().join(format!("products.{format}"));
        let name = file.to_str().unwrap();
        assert_eq!(done(shop.tool(&["export", "--format", format, "--output", name])), "");
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(done(shop.tool(&["export", "--format", format])), text, "stdout gets the same");
        let back = shop.tool(&["import", name]);
        assert_eq!(done(back), "2822 unchanged\n");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing partial is left");

    let mixed = dir.path().join("mixed.ndjson");
    let good = json!({"sku": "GOOD", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    fs::write(&mixed, format!("{good}\nnonsense\n")).unwrap();
    let ended = shop.tool(&["import", mixed.to_str().unwrap()]);
    assert_eq!((ended.code, &*ended.err), (1, ""), "{ended:?}");
    assert!(
        ended.out.contains("malformed_json") && ended.out.ends_with("1 created, 1 refused\n"),
        "{ended:?}"
    );
    let missing = shop.tool(&["import", "missing.csv"]);
    assert_eq!((missing.code, missing.err.starts_with("shop: missing.csv: ")), (1, true), "{missing:?}");
}

#[tokio::test]
async fn orders_are_placed_shown_and_moved() {
    let shop = Shop::start(&[]);
    let client = shop.client();
    client.product("MUG", 5).await;
    assert!(done(shop.tool(&["check", "MUG=5"])).contains("ok"));
    let short = shop.tool(&["check", "MUG=6", "NONE"]);
    assert_eq!((short.code, &*short.err), (1, ""), "{short:?}");
    assert!(short.out.contains("insufficient") && short.out.contains("unknown"), "{short:?}");
    let short = shop.tool(&["check", "MUG=6", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&short.out).unwrap()["available"], false);

    let place = ["order", "place", "MUG=2", "--customer", "ada", "--reference", "r", "--key", "k", "--json"];
    let order = json_of(shop.tool(&place));
    assert_eq!(json_of(shop.tool(&place)), order, "the key makes it one");
    let id = order["id"].as_str().unwrap();
    assert_eq!((&order["customer_id"], &order["reference"]), (&json!("ada"), &json!("r")));
    assert_eq!(json_of(shop.tool(&["order", "get", id, "--json"])), order);
    assert!(done(shop.tool(&["order", "get", id])).contains("placed 9.90 EUR"));
    let other = json_of(shop.tool(&["order", "place", "MUG", "--json"]));
    let listed = json_of(shop.tool(&["order", "list", "--customer", "ada", "--json"]));
    assert_eq!(listed["data"], json!([order]));
    assert_eq!(done(shop.tool(&["order", "list", "--limit", "5"])).lines().count(), 2);

    let refused = shop.tool(&["order", "place", "MUG=9", "NONE"]);
    assert_eq!((refused.code, &*refused.out), (1, ""), "{refused:?}");
    assert!(refused.err.contains("unknown_product") && refused.err.contains("request id"), "{refused:?}");
    let refused = shop.tool(&["order", "place", "MUG=9"]);
    assert!(
        refused.code == 1 && refused.err.contains("insufficient_stock") && refused.err.contains("MUG"),
        "{refused:?}"
    );

    assert!(done(shop.tool(&["order", "ship", id])).contains("shipped"));
    assert!(done(shop.tool(&["order", "deliver", id])).contains("delivered"));
    let refused = shop.tool(&["order", "cancel", id]);
    assert!(refused.code == 1 && refused.err.contains("illegal_transition"), "{refused:?}");
    assert!(done(shop.tool(&["order", "cancel", other["id"].as_str().unwrap()])).contains("cancelled"));
    client.stock_becomes("MUG", 3, 0).await;
    crate::support::eventually("settled", async || {
        client.get("/v1/reservations?state=held").await.ok(200)["data"] == json!([])
    })
    .await;
    assert!(done(shop.tool(&["doctor"])).contains("nothing is in doubt"));
    assert_eq!(json_of(shop.tool(&["doctor", "--json"]))["in_doubt"], json!([]));
    // A hold of orders without an order is what recovery is for; until then the doctor tells of it.
    let lines = json!({"lines": [{"sku": "MUG", "quantity": 1}], "owner": "orders"});
    client.put("/v1/reservations/0198c0de-0000-7000-8000-000000000001", &lines).await.ok(201);

    let away = crate::support::process::Process::run(crate::support::process::shop().args([
        "order",
        "list",
        "--url",
        "http://127.0.0.1:9",
    ]));
    assert_eq!((away.code, away.err.starts_with("shop: ")), (1, true), "{away:?}");
}
