use serde_json::{Value, json};

use crate::settings::{Setting, Tested, in_every_setting};
use crate::support::client::product;
use crate::support::unique;

in_every_setting!(every_row_is_answered, a_dry_run_changes_nothing, what_cannot_be_imported_is_refused,);

mod round_trip {
    use super::what_is_exported_is_imported_unchanged;
    use crate::settings::in_every_setting;

    in_every_setting!(own: what_is_exported_is_imported_unchanged);
}

async fn import(shop: &Tested, query: &str, content_type: &str, body: String) -> Vec<Value> {
    let call = shop.call("POST", &format!("/v1/products/import{query}")).body(content_type, body);
    let reply = call.send().await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("application/x-ndjson")),
        "{reply:?}"
    );
    reply.rows()
}

fn statuses(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["status"].as_str().unwrap()).collect()
}

async fn every_row_is_answered(shop: Tested) {
    let (known, new) = (unique("ROW"), unique("ROW"));
    shop.product(&known, 5).await;
    let mut faulty = product(&unique("ROW"), 1);
    faulty["price"]["amount"] = json!("1.999");
    let mut more = product(&known, 9);
    more["name"] = json!("renamed");
    let text = [
        product(&new, 3).to_string(),
        product(&known, 5).to_string(),
        "{broken".into(),
        faulty.to_string(),
        more.to_string(),
    ];
    let rows = import(&shop, "", "application/x-ndjson", text.join("\n")).await;
    assert_eq!(statuses(&rows), ["created", "unchanged", "refused", "refused", "updated"]);
    assert_eq!(rows[2]["errors"][0]["code"], "malformed_json");
    assert_eq!(rows[3]["errors"][0]["pointer"], "/price/amount");
    assert_eq!(shop.stock(&known).await, (9, 0, 9));
    shop.order(&[(&known, 4)]).await;
    let rows = import(&shop, "", "application/x-ndjson", product(&known, 3).to_string()).await;
    assert_eq!(rows[0]["errors"][0]["code"], "below_allocated");
    let csv = format!("sku,name,price,currency,on_hand\n{new},Lamp,2.50,EUR,8\n{new},too,few\n");
    assert_eq!(statuses(&import(&shop, "", "text/csv", csv).await), ["updated", "refused"]);
    assert_eq!(shop.stock(&new).await, (8, 0, 8));
}

async fn a_dry_run_changes_nothing(shop: Tested) {
    let (known, new) = (unique("DRY"), unique("DRY"));
    let before = shop.product(&known, 5).await;
    let text = format!("{}\n{}\nx", product(&known, 6), product(&new, 1));
    let rows = import(&shop, "?dry_run=true", "application/x-ndjson", text).await;
    assert_eq!(statuses(&rows), ["updated", "created", "refused"]);
    assert_eq!(shop.get(&format!("/v1/products/sku:{known}")).await.ok(200), before);
    shop.get(&format!("/v1/products/sku:{new}")).await.problem(404, "not_found");
}

async fn what_cannot_be_imported_is_refused(shop: Tested) {
    let send = |query: &str, kind: &str, body: &'static str| {
        shop.call("POST", &format!("/v1/products/import{query}")).body(kind, body).send()
    };
    send("", "application/json", "{}").await.problem(415, "unsupported_media_type");
    let header = send("", "text/csv", "sku,colour,name\n").await;
    assert!(header.pointers(400, "invalid_csv_header").contains(&"/colour".to_owned()));
    assert_eq!(send("?dry=1", "text/csv", "").await.pointers(400, "invalid_query"), ["?dry"]);
    shop.get("/v1/products/export?format=xml").await.problem(400, "invalid_query");
}

async fn what_is_exported_is_imported_unchanged(setting: Setting) {
    let shop = setting.own(&[]).await;
    let mut all: Vec<Value> = (0..700).map(|n| product(&format!("X-{n:05}"), n)).collect();
    all[0]["tags"] = json!(["a|b", "[c", "d\""]);
    all[1]["attributes"] =
        json!({"a": {"é": "\u{1F600}, \"x\"\n"}, "n": 1e300, "big": 18_446_744_073_709_551_615_u64});
    all[2]["description"] = json!(" line\r\nline\n\"quoted\", and |\t");
    all[3]["status"] = json!("archived");
    all[4]["price"] = json!({"amount": "12", "currency": "JPY"});
    all[5]["sku"] = json!("=1+1, \"x\"");
    let text: String = all.iter().map(|row| format!("{row}\n")).collect();
    let rows = import(&shop, "", "application/x-ndjson", text).await;
    assert_eq!(statuses(&rows), ["created"; 700]);
    for (format, kind) in [("ndjson", "application/x-ndjson"), ("csv", "text/csv")] {
        let exported = shop.get(&format!("/v1/products/export?format={format}")).await;
        assert!(exported.header("content-type").unwrap().starts_with(kind));
        let rows = import(&shop, "", kind, exported.text()).await;
        assert_eq!(statuses(&rows), ["unchanged"; 700], "{format}");
        let again = shop.get(&format!("/v1/products/export?format={format}")).await;
        assert!(again.body == exported.body, "{format} differs");
    }
}
