use std::fs;

use xtask::servers::Etcd;

use crate::support::eventually;
use crate::support::process::{self, Ended, Process};
use crate::support::shop::Shop;

#[tokio::test]
async fn what_etcd_says_is_in_effect_at_once_or_after_a_restart_or_refused() {
    let mut etcd = Etcd::start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (data, file, snapshot) =
        (dir.path().join("data"), dir.path().join("shop.toml"), dir.path().join("config.json"));
    let section = format!("[etcd]\nendpoints = [{:?}]\nsnapshot = {snapshot:?}\n", etcd.endpoint());
    fs::write(&file, section).unwrap();
    let file = file.to_str().unwrap();
    let config = |arguments: &[&str]| -> Ended {
        Process::run(process::shop().arg("config").args(arguments).args(["--config", file]))
    };
    let shop = Shop::start_with(&data, &["--config", file], &[]);

    let refused = config(&["set", "log.level=loud", "gateway.limits.max_body=1MiB"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("log.level: \"loud\" is not a level"), "{}", refused.err);
    let written = config(&["set", "log.level=debug", "gateway.limits.max_body=1MiB", "process.drain=20s"]);
    assert_eq!(written.code, 0, "{}", written.err);
    let got = config(&["get", "gateway.limits.max_body"]);
    assert!(got.out.contains("# /shop/common/gateway/limits/max_body@"), "{}", got.out);
    eventually("what is live is in effect, and the rest is told", async || {
        let logged = crate::logs::read(&data.join("logs"));
        logged.contains("log.level is in effect") && logged.contains("process.drain (/shop/common/")
    })
    .await;
    let large = async |shop: &Shop| {
        let request = shop.client().call("POST", "/v1/orders").body("application/json", vec![b' '; 2 << 20]);
        request.send().await.status
    };
    eventually("the limit", async || large(&shop).await == 413).await;

    etcd.process().kill();
    shop.stop();
    let shop = Shop::start_with(&data, &["--config", file], &[]);
    let status = shop.operator().get("/status").await.ok(200);
    assert_eq!(status["figures"]["etcd"]["from_snapshot"], true, "{status}");
    assert_eq!(large(&shop).await, 413, "from the snapshot");
}
