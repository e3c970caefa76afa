//! A real receiver: node-logstash, which `cargo xtask servers` starts.

use std::collections::BTreeMap;

use serde_json::Value;
use shop_core::log::{LogConfig, LogstashConfig};

use crate::receiver::until;
use crate::sender::{Sender, config, spool};

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; cargo xtask servers says what it is"))
}

/// Events of this host that it has written, by their id. Its last line may be half written.
fn events(host: &str) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(given("SHOP_TEST_LOGSTASH_EVENTS")).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = events.filter(|event| event["host"] == host);
    own.map(|event| (event["event"]["id"].as_str().unwrap().to_owned(), event)).collect()
}

fn host(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn it_understands_every_event_that_comes_over_http() {
    let (host, dir) = (host("http"), tempfile::tempdir().unwrap());
    let url = given("SHOP_TEST_LOGSTASH_HTTP_URL").parse().unwrap();
    let logstash =
        LogstashConfig { spool: Some(spool(dir.path(), 16 << 20)), ..LogstashConfig::new(vec![url]) };
    let sender =
        Sender::start_with(LogConfig { host: Some(host.clone()), logstash: Some(logstash), ..config() });
    // It reads every packet of a body as text of its own, which breaks a character of several bytes at the packets' border.
    let text = "\" \\ \u{1} \n end".repeat(20);
    sender.within(|| {
        (0..1000).for_each(|n| tracing::info!(n, text, http.response.status_code = 201, "said {n}"));
    });
    until("all are written", || events(&host).len() == 1000);
    sender.within(|| tracing::info!(single = "é", "é"));
    until("that too", || {
        events(&host).values().any(|event| event["message"] == "é" && event["single"] == "é")
    });
    assert_eq!(sender.stats().dropped, 0);
    let mut numbers = Vec::new();
    for event in events(&host).into_values().filter(|event| event["n"].is_u64()) {
        let n = event["n"].as_u64().unwrap();
        assert_eq!((&event["text"], &event["message"]), (&text.clone().into(), &format!("said {n}").into()));
        assert_eq!(
            (&event["http"]["response"]["status_code"], &event["type"]),
            (&201.into(), &"shop".into())
        );
        assert_eq!(event["event"]["sequence"], n);
        numbers.push(n);
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1000));
}

#[test]
fn it_understands_datagrams() {
    let host = host("udp");
    let url = given("SHOP_TEST_LOGSTASH_UDP_URL").parse().unwrap();
    let logstash = Some(LogstashConfig::new(vec![url]));
    let sender = Sender::start_with(LogConfig { host: Some(host.clone()), logstash, ..config() });
    // One after the other: nobody promises that a burst arrives.
    for n in 0..20 {
        sender.emit(n..n + 1);
        until("it is written", || events(&host).len() == n as usize + 1);
    }
    assert!(events(&host).values().all(|event| event["logger_name"] == "logstash::sender"));
}
