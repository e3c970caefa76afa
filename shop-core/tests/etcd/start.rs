use std::time::{Duration, Instant};

use shop_core::config::{EtcdConfig, LiveError, Loader};
use tokio::net::TcpListener;
use xtask::servers::Etcd;

use super::support::{Config, Place, Said, check, shown, until};

/// What a start may take with no etcd: 3 s, and as much again as a busy machine may lose.
const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn etcd_lies_over_the_files_and_under_the_environment() {
    let place = Place::shared();
    let low = place.put("common/limits/low", "3").await;
    let body = place.put("common/limits/body", "10MiB").await;
    let over = place.put("app/limits/body", "20MiB").await;
    place.put("common/limits/high", "20").await;
    place.put("other/limits/low", "9").await;
    let name = place.put("app/names/a", "007").await;
    let list = place.put("common/list", "[1, 2]").await;
    let loader = place.loader().env([("SHOP__LIMITS__HIGH".to_owned(), "30".to_owned())]).flag(
        "--on",
        "limits.on",
        Some(true),
    );
    let (live, _) = loader.live("app", check).await.unwrap();
    let current = live.current();
    let config: &Config = &current.value;
    assert_eq!((config.limits.low, config.limits.high, config.limits.on), (3, 30, true));
    assert_eq!((config.names["a"].as_str(), &config.list[..]), ("007", &[1, 2][..]));
    assert!(body < over);
    for (path, origin) in [
        ("limits.low", format!("{}@{low}", place.key("common/limits/low"))),
        ("limits.body", format!("{}@{over}", place.key("app/limits/body"))),
        ("names.a", format!("{}@{name}", place.key("app/names/a"))),
        ("list", format!("{}@{list}", place.key("common/list"))),
        ("limits.high", "SHOP__LIMITS__HIGH".to_owned()),
        ("limits.on", "--on".to_owned()),
        ("etcd.prefix", "app.toml:3".to_owned()),
    ] {
        assert_eq!(current.origin(path).to_string(), origin, "{path}");
    }
}

#[tokio::test]
async fn every_fault_names_its_key() {
    let place = Place::shared();
    place.put("common/limits/lwo", "3").await;
    place.put("app/limits/body", "much").await;
    place.put("app/etcd/prefix", "/elsewhere").await;
    let Err(LiveError::Config(errors)) = place.load().await else { panic!("it is accepted") };
    let said = errors.to_string();
    for below in ["common/limits/lwo", "app/limits/body", "app/etcd/prefix"] {
        assert!(said.lines().any(|line| line.starts_with(&place.key(below))), "{below}: {said}");
    }
    assert_eq!(errors.0.len(), 3, "{said}");
}

#[tokio::test]
async fn a_start_without_etcd_is_from_the_snapshot_and_says_so() {
    let mut server = Etcd::start().unwrap();
    let place = Place::on(&server.endpoint()).with_snapshot();
    place.put("common/limits/low", "3").await;
    let before = place.fresh().await;
    assert!(!place.snapshot().exists(), "who only reads keeps nothing");
    place.live().await;
    server.process().kill();

    let (said, _guard) = Said::listen();
    let since = Instant::now();
    let (live, watcher) = place.load().await.unwrap();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(shown(&live), before);
    let status = live.status();
    assert!(status.from_snapshot && !status.watching && status.refused.is_some(), "{status:?}");
    tokio::spawn(watcher.run());
    until("it is lost", || live.status().lost.is_some()).await;
    assert!(
        said.text().contains("WARN message=started from the snapshot of etcd's values"),
        "{}",
        said.text()
    );

    server.restart().unwrap();
    until("it is watched", || live.status().watching).await;
    assert!(!live.status().from_snapshot);
    place.put("common/limits/low", "4").await;
    until("the change", || live.current().value.limits.low == 4).await;
    server.process().kill();
    // What was accepted while it ran is what the next start has.
    until("the snapshot", || std::fs::read_to_string(place.snapshot()).unwrap().contains("\"4\"")).await;
    let (live, _) = place.load().await.unwrap();
    assert_eq!(live.current().value.limits.low, 4);
}

#[tokio::test]
async fn a_start_without_etcd_and_without_a_snapshot_is_a_fault_that_says_why() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [nobody, silent.local_addr().unwrap()] {
        let place = Place::on(&format!("http://{address}"));
        for (place, why) in [
            (place.with_snapshot(), "the snapshot is of no use: "),
            (Place::on(&format!("http://{address}")), "there is no etcd.snapshot"),
        ] {
            let since = Instant::now();
            let error = place.load().await.unwrap_err();
            assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
            assert!(matches!(error, LiveError::Unreachable { .. }), "{error:?}");
            let said = error.to_string();
            assert!(said.contains(&place.endpoint) && said.contains(why), "{said}");
        }
    }
}

#[tokio::test]
async fn a_start_with_bad_values_is_from_the_last_good_ones() {
    let place = Place::shared().with_snapshot();
    place.put("common/limits/low", "3").await;
    place.live().await;
    place.put("common/limits/low", "11").await;
    let live = place.live().await;
    assert_eq!(live.current().value.limits.low, 3);
    let refused = live.status().refused.unwrap();
    assert!(refused.contains(&place.key("common/limits/low")), "{refused}");
    place.put("common/limits/low", "5").await;
    until("the good value", || live.current().value.limits.low == 5).await;
    assert_eq!(live.status().refused, None);

    until("the snapshot", || std::fs::read_to_string(place.snapshot()).unwrap().contains("\"5\"")).await;
    std::fs::write(place.snapshot(), "{}").unwrap();
    place.put("common/limits/low", "12").await;
    assert!(matches!(place.load().await, Err(LiveError::Config(_))));
}

#[tokio::test]
async fn one_member_that_is_down_is_no_hindrance() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut place = Place::shared();
    place.put("common/limits/low", "3").await;
    place.endpoint = format!("http://{nobody}', '{}", place.endpoint);
    assert_eq!(place.live().await.current().value.limits.low, 3);
}

#[tokio::test]
async fn files_that_are_read_again_lie_under_what_etcd_said_last() {
    let place = Place::shared();
    place.put("common/limits/low", "3").await;
    let file = place.folder().join("more.toml");
    std::fs::write(&file, "[limits]\nlow = 2\nbody = 5\n").unwrap();
    let (live, watcher) = place.loader().file(&file).live::<Config>("app", check).await.unwrap();
    tokio::spawn(watcher.run());
    std::fs::write(&file, "[limits]\nlow = 4\nbody = 6\n").unwrap();
    let changed = live.reload().unwrap();
    assert_eq!(changed.iter().map(|changed| changed.path.as_str()).collect::<Vec<_>>(), ["limits.body"]);
    std::fs::write(&file, "[limits]\nbody = \"many\"\n").unwrap();
    let error = live.reload().unwrap_err();
    assert!(error.to_string().contains("more.toml:2: limits.body"), "{error}");
    // What comes from etcd lies over the files that were read last and were good.
    place.put("common/limits/high", "9").await;
    until("the change", || live.current().value.limits.high == 9).await;
    let now = live.current();
    assert_eq!((now.value.limits.low, now.value.limits.body.0), (3, 6));
    place.delete("common/limits/low").await;
    until("the file's", || live.current().value.limits.low == 4).await;

    // What the one refuses because of the other is taken once the other has changed: etcd's because of the file …
    place.put("common/limits/high", "1").await;
    until("the refusal", || live.status().refused.is_some()).await;
    std::fs::write(&file, "[limits]\nlow = 1\n").unwrap();
    live.reload().unwrap();
    assert_eq!((live.current().value.limits.low, live.current().value.limits.high), (1, 1));
    assert_eq!(live.status().refused, None);
    // … and the file's because of etcd.
    std::fs::write(&file, "[limits]\nlow = 5\n").unwrap();
    assert!(live.reload().is_err());
    place.put("common/limits/high", "6").await;
    until("both", || live.current().value.limits.high == 6).await;
    assert_eq!(live.current().value.limits.low, 5);
}

#[tokio::test]
async fn without_an_etcd_section_nothing_is_asked() {
    let (live, watcher) = Loader::new().live::<Config>("app", check).await.unwrap();
    watcher.run().await;
    assert_eq!(live.status().to_string(), "files, environment and flags");
    let mut changes = live.changes();
    drop(live);
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn what_is_wrong_with_the_section_is_told_at_once() {
    let text = "[etcd]\nendpoints = ['nowhere']\nuser = 'me'\n";
    let Err(LiveError::Config(errors)) =
        Loader::new().text("a.toml", text).live::<Config>("app", check).await
    else {
        panic!("it is accepted")
    };
    let said: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    assert!(said[0].starts_with("a.toml:2: etcd.endpoints.0: must be an address"), "{said:?}");
    assert!(said[1].ends_with("etcd.password: is missing: there is a user"), "{said:?}");
    let text = "[etcd]\nendpoint = 'http://a:1'\n";
    let error = Loader::new().text("a.toml", text).live::<Config>("app", check).await.unwrap_err();
    assert!(error.to_string().contains("a.toml:2: etcd.endpoint: unknown key"), "{error}");
    // It is a value like any other.
    let _: Option<EtcdConfig> = Config::default().etcd;
}
