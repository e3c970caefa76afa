use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::eventually;
use crate::support::shop::Shop;

const BOTH: &str = "[[routes]]\npath = \"/v1/orders\"\nupstream = \"orders\"\n[[routes]]\npath = \"/v1/products\"\nupstream = \"products\"\n";
const CHECK: &str = "[[routes]]\npath = \"/v1/stock\"\nupstream = \"products\"\n";

#[tokio::test]
async fn a_changed_file_changes_routes_under_load_and_a_bad_one_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.toml");
    fs::write(&file, BOTH).unwrap();
    let shop = Shop::start_with(&dir.path().join("data"), &["--config", file.to_str().unwrap()], &[]);
    let client = shop.client();
    client.product("A", 1_000_000).await;
    let logged = || crate::logs::read(&dir.path().join("data/logs"));
    assert_eq!(client.get("/v1/stock/check").await.status, 404, "no route");

    let stop = Arc::new(AtomicBool::new(false));
    let buyers: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop) = (shop.client(), stop.clone());
            tokio::spawn(async move {
                let mut placed = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.order(&[("A", 1)]).await;
                    placed += 1;
                }
                placed
            })
        })
        .collect();
    // Found without being told.
    fs::write(&file, format!("{BOTH}{CHECK}")).unwrap();
    eventually("the new route", async || client.get("/v1/stock/check").await.status == 405).await;
    for round in 0..10 {
        let text = if round % 2 == 0 { BOTH.to_owned() } else { format!("{BOTH}{CHECK}") };
        fs::write(&file, text).unwrap();
        shop.process.signal("HUP");
        let expected = if round % 2 == 0 { 404 } else { 405 };
        eventually("the route", async || client.get("/v1/stock/check").await.status == expected).await;
    }
    fs::write(&file, format!("{BOTH}{CHECK}[[routes]]\npath = \"/v2\"\nupstream = \"nobody\"\n")).unwrap();
    shop.process.signal("HUP");
    eventually("why it is refused", async || {
        let logged = logged();
        logged.contains("what was in effect stays") && logged.contains("there is no upstream `nobody`")
    })
    .await;
    assert_eq!(client.get("/v1/stock/check").await.status, 405);
    fs::write(&file, format!("{BOTH}[process]\ndrain = \"20s\"\n")).unwrap();
    eventually("what waits", async || logged().contains("process.drain (")).await;
    stop.store(true, Ordering::Relaxed);
    for buyer in buyers {
        assert!(buyer.await.unwrap() > 0);
    }
    let logged = logged();
    let waits = |line: &&str| line.contains("wait for a restart");
    assert!(logged.lines().any(|line| waits(&line)));
    let routes = logged.lines().filter(waits).find(|line| line.contains("routes."));
    assert_eq!(routes, None, "routes wait for nothing");
    assert_eq!(shop.stop().0.code, 0);
}
