//! One of the two databases restored from an old backup: row 22 of what can go wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::client::{lines_of, path};
use crate::support::load::{Load, sku};
use crate::support::process::Ended;
use crate::support::shop::Shop;
use crate::support::{PATIENCE, eventually};

/// With a grace time that a test can wait for.
const SHORT: &[(&str, &str)] = &[("SHOP__ORDERS__GRACE", "1s"), ("SHOP__ORDERS__PLACE_DEADLINE", "900ms")];

/// A shop whose database files are copied away and back while it is stopped.
struct Restored {
    dir: TempDir,
    shop: Shop,
}

impl Restored {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = Shop::start_in(dir.path(), SHORT);
        Self { dir, shop }
    }

    /// Stops the shop, does something with a database and its backup, and starts it again.
    fn between(self, name: &str, act: impl FnOnce(&Path, &Path) -> std::io::Result<u64>) -> Self {
        let (ended, _) = self.shop.stop();
        assert_eq!(ended.code, 0, "{ended:?}");
        let in_data = |ending: &str| self.dir.path().join(format!("{name}.{ending}"));
        assert!(!in_data("db-wal").exists(), "a shop that was stopped leaves whole files");
        act(&in_data("db"), &in_data("backup")).unwrap();
        let shop = Shop::start_in(self.dir.path(), SHORT);
        Self { dir: self.dir, shop }
    }

    fn back_up(self, name: &str) -> Self {
        self.between(name, |file, backup| std::fs::copy(file, backup))
    }

    fn restore(self, name: &str) -> Self {
        self.between(name, |file, backup| std::fs::copy(backup, file))
    }

    async fn settled(&self) {
        let client = self.shop.client();
        eventually("settled", async || {
            let status = self.shop.operator().get("/status").await.ok(200);
            let held = client.get("/v1/reservations?state=held").await.ok(200);
            held["data"] == json!([]) && status["figures"]["orders"]["settlements_open"] == 0
        })
        .await;
    }

    /// Looks until the grace time is over and just this is found: SKUs, of which each order has its own, and repairs.
    async fn finds(&self, expected: &[(&str, &str)]) {
        let expected: BTreeSet<_> =
            expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        eventually(&format!("{expected:?}"), async || {
            let ended = doctor(&self.shop, &["--json"]);
            let report = report(&ended);
            assert_eq!(ended.code == 0, report["differences"] == json!([]), "{ended:?}");
            report["under_way"] == 0 && found(&report) == expected
        })
        .await;
    }

    /// Mends, and returns what is left, after a second run that found nothing more to do.
    fn mend(&self) -> BTreeSet<(String, String)> {
        let mut first = report(&doctor(&self.shop, &["--apply", "--json"]));
        let is_left = |difference: &Value| difference["applied"] == false;
        first["differences"].as_array_mut().unwrap().retain(is_left);
        let again = doctor(&self.shop, &["--apply", "--json"]);
        let (left, report) = (found(&first), report(&again));
        assert_eq!(found(&report), left, "{report}");
        assert_eq!(again.code == 0, left.is_empty(), "{report}");
        assert_eq!((&report["sums"]["differences"], &report["sums"]["products"]), (&json!([]), &json!(6)));
        left
    }

    /// `(on_hand, allocated)` of each product.
    async fn stock(&self) -> Vec<(i64, i64)> {
        let client = self.shop.client();
        let mut all = Vec::new();
        for sku in SKUS {
            let (on_hand, allocated, _) = client.stock(sku).await;
            all.push((on_hand, allocated));
        }
        all
    }

    async fn order(&self, sku: &str, quantity: i64) -> Value {
        self.shop.client().order(&[(sku, quantity)]).await
    }

    async fn act(&self, order: &Value, action: &str) {
        self.shop.client().act(order, action).await.ok(200);
    }

    async fn edit(&self, order: &Value, sku: &str, quantity: i64) {
        let lines = json!({"lines": lines_of(&[(sku, quantity)])});
        self.shop.client().patch(&path(order), &lines).await.ok(200);
    }
}

const SKUS: [&str; 6] = ["CANCELLED", "SHIPPED", "EDITED", "NEW", "SENT", "KEPT"];

fn doctor(shop: &Shop, flags: &[&str]) -> Ended {
    shop.tool(&[&["doctor", "--reconcile"], flags].concat())
}

fn report(ended: &Ended) -> Value {
    assert_eq!(ended.err, "", "{ended:?}");
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The SKU and the repair of each difference.
fn found(report: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |found: &Value| (text(&found["lines"][0]["sku"]), text(&found["repair"]));
    report["differences"].as_array().unwrap().iter().map(of).collect()
}

/// A shop with an order of each product that is there at the time of the backup, and what happened to them since.
async fn eventful(name: &str) -> Restored {
    let shop = Restored::start();
    for sku in SKUS {
        shop.shop.client().product(sku, 100).await;
    }
    let (cancelled, shipped) = (shop.order("CANCELLED", 1).await, shop.order("SHIPPED", 2).await);
    let edited = shop.order("EDITED", 9).await;
    shop.order("KEPT", 4).await;
    shop.settled().await;
    let shop = shop.back_up(name);
    shop.act(&cancelled, "cancel").await;
    shop.act(&shipped, "ship").await;
    shop.edit(&edited, "EDITED", 5).await;
    shop.order("NEW", 6).await;
    let sent = shop.order("SENT", 7).await;
    shop.act(&sent, "ship").await;
    shop.settled().await;
    shop.finds(&[]).await;
    assert_eq!(shop.stock().await, [(100, 0), (98, 0), (100, 5), (100, 6), (93, 0), (100, 4)]);
    shop
}

#[tokio::test]
async fn row_22_products_from_an_old_backup_get_back_what_orders_say() {
    let shop = eventful("products").await;
    let before = shop.stock().await;
    let shop = shop.restore("products");
    assert_eq!(shop.stock().await, [(100, 1), (100, 2), (100, 9), (100, 0), (100, 0), (100, 4)]);
    shop.finds(&[
        ("CANCELLED", "release"),
        ("SHIPPED", "fulfil"),
        ("EDITED", "shrink"),
        ("NEW", "hold_and_commit"),
        ("SENT", "hold_and_fulfil"),
    ])
    .await;
    let ended = doctor(&shop.shop, &[]);
    assert_eq!((ended.code, &*ended.err), (1, ""), "{ended:?}");
    for part in ["is unknown to products; order #", "NEW: 6 ordered, 0 reserved, 100 available (ok)"] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    assert!(ended.out.contains("5 differences, 5 of them left; 0 under way"), "{}", ended.out);
    assert!(ended.out.ends_with("6 products added up: 0 differences\n"), "{}", ended.out);
    assert_eq!(shop.mend(), BTreeSet::new());
    assert_eq!(shop.stock().await, before);
    shop.finds(&[]).await;
}

#[tokio::test]
async fn row_22_orders_from_an_old_backup_give_back_what_no_order_has() {
    let shop = eventful("orders").await;
    let shop = shop.restore("orders");
    let by_hand = [
        ("CANCELLED", "cancel_by_hand"),
        ("SHIPPED", "ship_by_hand"),
        ("EDITED", "edit_by_hand"),
        ("SENT", "find_by_hand"),
    ];
    shop.finds(&[&by_hand[..], &[("NEW", "expire_and_release")]].concat()).await;
    let by_hand: BTreeSet<_> = by_hand.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(shop.mend(), by_hand);
    assert_eq!(shop.stock().await, [(100, 0), (98, 0), (100, 5), (100, 0), (93, 0), (100, 4)]);

    // What is said to do by hand mends it, but for what nobody knows.
    let orders = shop.shop.client().get("/v1/orders").await.ok(200);
    let of = |sku: &str| {
        let mut all = orders["data"].as_array().unwrap().iter();
        all.find(|order| order["lines"][0]["sku"] == sku).unwrap()
    };
    shop.act(of("CANCELLED"), "cancel").await;
    shop.act(of("SHIPPED"), "ship").await;
    shop.edit(of("EDITED"), "EDITED", 5).await;
    shop.settled().await;
    shop.finds(&[("SENT", "find_by_hand")]).await;
    assert_eq!(shop.stock().await, [(100, 0), (98, 0), (100, 5), (100, 0), (93, 0), (100, 4)]);
}

#[tokio::test]
async fn row_22_what_a_restored_backup_oversold_is_said() {
    let shop = Restored::start();
    let client = shop.shop.client();
    for sku in SKUS {
        client.product(sku, 4).await;
    }
    let shop = shop.back_up("products");
    let more = json!({"delta": 10, "reason": "delivery"});
    shop.shop.client().post("/v1/products/sku:NEW/stock/adjustments", &more).await.ok(201);
    shop.order("NEW", 3).await;
    shop.order("NEW", 5).await;
    shop.settled().await;
    let shop = shop.restore("products");
    shop.finds(&[("NEW", "hold_and_commit")]).await;
    let ended = doctor(&shop.shop, &["--apply"]);
    assert_eq!((ended.code, &*ended.err), (1, ""), "{ended:?}");
    assert!(ended.out.contains("2 differences, 1 of them left"), "{}", ended.out);
    assert!(ended.out.contains("oversold: NEW by 4;"), "{}", ended.out);
    assert_eq!(shop.shop.client().stock("NEW").await, (4, 3, 1));
    assert_eq!(shop.mend().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_shop_under_load_has_no_difference() {
    const SKUS: usize = 10;
    let shop = Shop::start(SHORT);
    for n in 0..SKUS {
        shop.client().product(&sku(n), 20_000).await;
    }
    let (_running, up) = watch::channel(Some(shop.client()));
    let load = Arc::new(Load::new(up, SKUS, 400, Duration::from_millis(3)));
    let clients: Vec<_> = (0..8).map(|n| tokio::spawn(load.clone().client(n))).collect();
    let mut compared = 0;
    // Long enough that most of what is compared is older than the grace time.
    while compared < 2_000 {
        load.goes_on(100, PATIENCE).await;
        let ended = tokio::task::block_in_place(|| doctor(&shop, &["--json"]));
        let report = report(&ended);
        assert_eq!((ended.code, &report["differences"]), (0, &json!([])), "{report}");
        assert_eq!(report["sums"]["differences"], json!([]), "{report}");
        compared = report["reservations"].as_u64().unwrap() + report["orders"].as_u64().unwrap();
    }
    load.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    eventually("all of it can be judged", async || {
        let report = report(&doctor(&shop, &["--apply", "--json"]));
        assert_eq!(report["differences"], json!([]), "{report}");
        report["under_way"] == 0 && report["sums"]["moving"] == json!([])
    })
    .await;
}
