use std::sync::Arc;

use etcd_client::{CompactionOptions, Txn, TxnOp};
use xtask::servers::Etcd;

use super::support::{Line, Place, Said, shown, until};

#[tokio::test]
async fn the_keys_of_a_transaction_are_one_change() {
    let place = Place::shared();
    let live = place.live().await;
    let mut changes = live.changes();
    let mut client = place.client().await;
    for high in [20, 5, 30, 7] {
        // Either alone is refused at times: low may not be more than high.
        let put = |below: &str, value: u16| TxnOp::put(place.key(below), value.to_string(), None);
        let both = [put("common/limits/low", high - 1), put("app/limits/high", high)];
        client.txn(Txn::new().and_then(both)).await.unwrap();
        let change = changes.next().await.unwrap();
        let paths: Vec<&str> = change.changed.iter().map(|changed| changed.path.as_str()).collect();
        assert_eq!(paths, ["limits.high", "limits.low"]);
        assert_eq!(change.after.value.limits.high, high);
        assert_eq!(change.changed[0].after, Some(high.into()));
        assert!(change.changed[0].origin.to_string().starts_with(&place.key("app/limits/high@")));
        assert_eq!(live.status().refused, None);
    }
}

#[tokio::test]
async fn a_bad_change_is_refused_whole_and_told_once() {
    let (said, _guard) = Said::listen();
    let place = Place::shared();
    place.put("common/limits/low", "2").await;
    let live = place.live().await;
    let before = live.current();
    let mut client = place.client().await;
    let put = |below: &str, value: &str| TxnOp::put(place.key(below), value, None);
    let mixed = [put("common/limits/low", "3"), put("app/names/a", "x"), put("app/limits/on", "perhaps")];
    client.txn(Txn::new().and_then(mixed)).await.unwrap();
    until("it is refused", || live.status().refused.is_some()).await;
    let refused = live.status().refused.unwrap();
    assert!(refused.contains(&format!("{}@", place.key("app/limits/on"))), "{refused}");
    assert!(Arc::ptr_eq(&before, &live.current()));
    // What others write is seen, and is no reason to say it again.
    let seen = place.put("other/x", "1").await;
    until("the other key", || live.status().seen == Some(seen)).await;
    assert_eq!(said.text().matches("is refused").count(), 1, "{}", said.text());

    place.put("app/limits/on", "true").await;
    until("the whole change", || live.current().value.limits.low == 3).await;
    assert!(live.current().value.limits.on && live.current().value.names.contains_key("a"));
    assert_eq!(live.status().refused, None);
}

#[tokio::test]
async fn what_a_higher_layer_covers_is_no_change() {
    let place = Place::shared();
    place.put("app/limits/low", "2").await;
    let live = place.live().await;
    let mut changes = live.changes();
    place.put("common/limits/low", "3").await;
    place.put("app/limits/high", "50").await;
    let change = changes.next().await.unwrap();
    assert_eq!(change.changed.len(), 1, "{change:?}");
    assert_eq!(change.before.value.limits.high, 10);
}

#[tokio::test]
async fn a_watcher_ends_when_nobody_reads() {
    let place = Place::shared();
    let (live, watcher) = place.load().await.unwrap();
    let running = tokio::spawn(watcher.run());
    until("it is watched", || live.status().watching).await;
    drop(live);
    running.await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_killed_is_watched_again_and_nothing_is_made_anew() {
    let mut server = Etcd::start().unwrap();
    let place = Place::on(&server.endpoint());
    place.put("common/limits/low", "2").await;
    let live = place.live().await;
    let before = live.current();
    for _ in 0..3 {
        server.process().kill();
        until("it is lost", || live.status().lost.is_some()).await;
        server.restart().unwrap();
        until("it is watched", || live.status().watching).await;
    }
    assert!(Arc::ptr_eq(&before, &live.current()));
    place.put("common/limits/low", "3").await;
    until("the change", || live.current().value.limits.low == 3).await;
}

#[tokio::test]
async fn what_was_compacted_while_the_line_was_cut_is_read_anew() {
    let mut place = Place::shared();
    let line = Line::to(&place.endpoint).await;
    let direct = std::mem::replace(&mut place.endpoint, line.endpoint.clone());
    let mut client = super::support::client(&direct, None).await;
    let live = place.live().await;
    line.cut();
    until("it is lost", || live.status().lost.is_some()).await;
    let mut last = 0;
    for low in 2..9_u16 {
        last = super::support::put(&mut client, &place.key("common/limits/low"), low.to_string()).await;
    }
    super::support::put(&mut client, &place.key("app/names/a"), "x").await;
    client.delete(place.key("common/limits/low"), None).await.unwrap();
    client.compact(last, Some(CompactionOptions::new().with_physical())).await.unwrap();
    line.mend();
    until("the change", || live.current().value.names.contains_key("a")).await;
    assert_eq!(live.current().value.limits.low, 1);
    assert_eq!(shown(&live), place.fresh().await);
}

#[tokio::test]
async fn a_server_that_was_restored_or_wiped_is_believed() {
    let mut server = Etcd::start().unwrap();
    let place = Place::on(&server.endpoint());
    place.put("common/limits/low", "2").await;
    server.back_up().unwrap();
    let live = place.live().await;
    for low in 3..8_u16 {
        place.put("common/limits/low", low.to_string()).await;
    }
    place.put("app/names/a", "x").await;
    until("the changes", || live.current().value.names.contains_key("a")).await;
    let high = live.status().revision.unwrap();

    server.restore().unwrap();
    until("the older values", || live.current().value.limits.low == 2).await;
    assert!(live.current().value.names.is_empty());
    assert!(live.status().revision.unwrap() < high);
    until("it is watched", || live.status().watching).await;
    place.put("common/limits/low", "4").await;
    until("the change", || live.current().value.limits.low == 4).await;
    assert_eq!(shown(&live), place.fresh().await);

    server.wipe().unwrap();
    until("no values", || live.current().value.limits.low == 1).await;
    until("it is watched", || live.status().watching).await;
    place.put("common/limits/low", "5").await;
    until("the change", || live.current().value.limits.low == 5).await;
    assert_eq!(shown(&live), place.fresh().await);
}

#[tokio::test]
async fn a_server_that_is_silent_is_noticed() {
    let mut server = Etcd::start().unwrap();
    let place = Place::on(&server.endpoint());
    let live = place.live().await;
    server.process().signal("STOP");
    until("it is lost", || !live.status().watching).await;
    server.process().signal("CONT");
    until("it is watched", || live.status().watching).await;
    place.put("common/limits/low", "3").await;
    until("the change", || live.current().value.limits.low == 3).await;
}

#[tokio::test]
async fn a_secret_is_shown_nowhere() {
    const CANARY: &str = "canary-4711";
    let (said, _guard) = Said::listen();
    let place = Place::shared().with_snapshot();
    let file = place.folder().join("secret");
    std::fs::write(&file, format!("{CANARY}-file\n")).unwrap();
    place.put("common/token", format!("{CANARY}-1")).await;
    let live = place.live().await;
    let mut shows = String::new();
    let mut changes = live.changes();
    for (below, value) in [
        ("app/token", format!("{CANARY}-2")),
        ("app/token", format!("secret:file:{}", file.display())),
        ("app/names/a", format!("postgres://me:{CANARY}@db/shop")),
        ("app/names/b", "secret:env:CANARY".to_owned()),
    ] {
        let revision = place.put(below, value).await;
        until("it is seen", || live.status().seen >= Some(revision)).await;
        if live.status().refused.is_none() {
            let change = changes.next().await.unwrap();
            shows += &format!("{change:?} {:?}", change.after);
        }
        shows += &format!("{live:?} {:?} {}\n", live.status(), shown(&live));
    }
    // The last one is of a variable that is not set.
    assert!(live.status().refused.is_some_and(|why| why.contains("app/names/b")));
    assert!(live.current().value.token.as_ref().unwrap().expose().ends_with("-file"));
    place.put("app/names/b", "plain").await;
    until("it is good again", || live.status().refused.is_none()).await;
    for (below, value) in [
        ("app/limits/low", format!("secret:file:{}", file.display())),
        ("app/limits/body", format!("http://me:{CANARY}@db")),
    ] {
        place.put(below, value).await;
        until("it is refused", || live.status().refused.is_some()).await;
        shows += &format!("{:?} {:?}", live.status(), place.load().await.map(|(live, _)| live.status()));
        place.delete(below).await;
        until("it is good again", || live.status().refused.is_none()).await;
    }
    let all = shows + &said.text();
    assert!(all.contains("***"), "{all}");
    let kept: Vec<&str> = all.lines().filter(|line| line.contains("canary")).collect();
    assert!(kept.is_empty(), "{kept:#?}");
}
