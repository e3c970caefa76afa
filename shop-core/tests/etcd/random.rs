use std::sync::Arc;

use etcd_client::{Txn, TxnOp};
use shop_core::chance;
use xtask::servers::Etcd;

use super::support::{Line, Place, client, put, shown, until};

/// From 0 to below `end`.
fn below(end: usize) -> usize {
    (chance::unit() * end as f64) as usize
}

fn one_of<'a>(all: &[&'a str]) -> &'a str {
    all[below(all.len())]
}

/// A good value for one of a few keys, or that it is deleted.
fn operation(place: &Place) -> TxnOp {
    let scope = one_of(&["common", "app", "other"]);
    let (key, value) = match below(5) {
        0 => ("limits/low".to_owned(), below(5).to_string()),
        1 => ("limits/high".to_owned(), (5 + below(5)).to_string()),
        2 => ("limits/body".to_owned(), format!("{}KiB", 1 + below(9))),
        3 => (
            format!("names/{}", one_of(&["a", "b", "c"])),
            one_of(&["x", "007", "true", "\"q\"", ""]).to_owned(),
        ),
        _ => ("list".to_owned(), format!("[{}, {}]", below(9), below(9))),
    };
    let key = place.key(&format!("{scope}/{key}"));
    if below(4) == 0 { TxnOp::delete(key, None) } else { TxnOp::put(key, value, None) }
}

#[tokio::test]
async fn after_any_changes_and_faults_the_value_is_what_a_fresh_read_gives() {
    let mut server = Etcd::start().unwrap();
    let direct = server.endpoint();
    let line = Line::to(&direct).await;
    let place = Place::on(&line.endpoint);
    let live = place.live().await;
    server.back_up().unwrap();
    for round in 0..25 {
        for _ in 0..below(8) {
            let mut writer = client(&direct, None).await;
            match below(20) {
                0 => {
                    line.cut();
                    tokio::task::yield_now().await;
                }
                1 => line.mend(),
                2 => {
                    server.process().kill();
                    server.restart().unwrap();
                }
                3 => {
                    let revision = writer.get("x", None).await.unwrap().header().unwrap().revision();
                    let _ = writer.compact(revision, None).await;
                }
                4 if round % 5 == 0 => server.restore().unwrap(),
                5 if round % 10 == 0 => server.wipe().unwrap(),
                _ => {
                    // The same key twice in a transaction is not allowed; then it is one operation less.
                    let operations: Vec<TxnOp> = (0..1 + below(3)).map(|_| operation(&place)).collect();
                    if writer.txn(Txn::new().and_then(operations.clone())).await.is_err() {
                        writer.txn(Txn::new().and_then(&operations[..1])).await.unwrap();
                    }
                }
            }
        }
        line.mend();
        let fresh = place.fresh().await;
        until("what a fresh read gives", || shown(&live) == fresh).await;
        assert_eq!(live.status().refused, None);
    }
}

#[tokio::test]
async fn of_random_bad_changes_none_is_accepted_and_each_reason_names_the_key() {
    let place = Place::shared();
    place.put("common/limits/low", "2").await;
    place.put("common/names/a", "x").await;
    let live = place.live().await;
    let mut writer = place.client().await;
    let mut before = live.current();
    for _ in 0..300 {
        let scope = one_of(&["common", "app"]);
        let (key, value): (String, Vec<u8>) = match below(9) {
            0 => ("limits/low".into(), format!("{}", 11 + below(100_000)).into()),
            1 => ("limits/low".into(), one_of(&["-1", "x", "1.5", "true", "[1]", "null", ""]).into()),
            2 => ("limits/on".into(), one_of(&["1", "yes", "\"\"", "[true]"]).into()),
            3 => ("limits/body".into(), one_of(&["-1", "1XB", "[]", "true", "KiB"]).into()),
            4 => {
                (format!("{}/{}", one_of(&["limits", "lists", "etcd"]), below(9)), one_of(&["1", "x"]).into())
            }
            5 => (
                one_of(&["limits", "names", "names/a/b", "/names", "names//b", "list/0"]).into(),
                b"1".into(),
            ),
            6 => (format!("names/{}", below(9)), one_of(&["{}", "{\"a\": 1}", "[]", "[1]"]).into()),
            7 => ("names/z".into(), vec![0xc0 | below(32) as u8, below(128) as u8]),
            _ => ("list".into(), one_of(&["[-1]", "[\"x\"]", "7", "x", "[[1]]", "[4294967296]"]).into()),
        };
        // A list is a text where one is wanted, and so are numbers.
        let is_good = key.starts_with("names/")
            && !key.contains("a/b")
            && !key.contains("//")
            && value.starts_with(b"[");
        if is_good {
            continue;
        }
        let (whole, shown) =
            (place.key(&format!("{scope}/{key}")), String::from_utf8_lossy(&value).into_owned());
        // With a good one, which must not come through either.
        let both =
            [TxnOp::put(whole.as_str(), value, None), TxnOp::put(place.key("app/names/good"), "y", None)];
        let answer = writer.txn(Txn::new().and_then(both)).await.unwrap();
        let revision = answer.header().unwrap().revision();
        until("it is seen", || live.status().seen >= Some(revision)).await;
        let refused = live.status().refused.unwrap_or_else(|| panic!("{whole} = {shown} is not refused"));
        assert!(refused.contains(&whole), "{whole} = {shown}: {refused}");
        let fault = refused.split_once(": ").unwrap().1;
        assert!(fault.contains(&whole), "{whole} = {shown}: {fault}");
        assert!(Arc::ptr_eq(&before, &live.current()), "{whole} = {shown} is accepted");

        let back = match format!("{scope}/{key}").as_str() {
            "common/limits/low" => TxnOp::put(whole, "2", None),
            _ => TxnOp::delete(whole, None),
        };
        let good = [back, TxnOp::delete(place.key("app/names/good"), None)];
        writer.txn(Txn::new().and_then(good)).await.unwrap();
        until("it is good again", || live.status().refused.is_none()).await;
        before = live.current();
    }
    let last = put(&mut writer, &place.key("common/names/a"), "y").await;
    until("a good change", || live.status().revision == Some(last)).await;
    assert_eq!(shown(&live), place.fresh().await);
}
