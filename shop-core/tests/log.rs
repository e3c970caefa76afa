//! Events as lines: their shape, their count, and that none is lost unnoticed.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use shop_core::log::{
    ByteSize, FileConfig, JsonLayer, LogConfig, LogGuard, Overflow, Rotation, StdoutConfig, layer, layer_to,
};
use tracing_subscriber::layer::SubscriberExt;

/// A writer that keeps what it gets, and waits while it is told to.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Kept>, Condvar)>);

/// Whether it is closed, and what it got.
type Kept = (bool, Vec<u8>);

impl Gate {
    fn close(&self) {
        self.0.0.lock().unwrap().0 = true;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().0 = false;
        self.0.1.notify_all();
    }

    fn lines(&self) -> Vec<Value> {
        let kept = self.0.0.lock().unwrap();
        String::from_utf8(kept.1.clone()).unwrap().lines().map(strict).collect()
    }
}

impl Write for Gate {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (kept, opened) = &*self.0;
        let mut kept = opened.wait_while(kept.lock().unwrap(), |(closed, _)| *closed).unwrap();
        kept.1.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads JSON in which no object has a key twice.
fn strict(line: &str) -> Value {
    struct Strict;
    impl<'de> Deserialize<'de> for Strict {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Any;
            impl<'de> Visitor<'de> for Any {
                type Value = Strict;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("JSON without a key twice")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                    let mut seen = HashSet::new();
                    while let Some((key, Strict)) = map.next_entry::<String, Strict>()? {
                        if !seen.insert(key.clone()) {
                            return Err(serde::de::Error::custom(format!("{key} twice")));
                        }
                    }
                    Ok(Strict)
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
                    while seq.next_element::<Strict>()?.is_some() {}
                    Ok(Strict)
                }
                fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
                    Ok(Strict)
                }
                fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
                    Ok(Strict)
                }
                fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
                    Ok(Strict)
                }
                fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
                    Ok(Strict)
                }
                fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
                    Ok(Strict)
                }
            }
            deserializer.deserialize_any(Any)
        }
    }
    serde_json::from_str::<Strict>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    serde_json::from_str(line).unwrap()
}

fn config() -> LogConfig {
    LogConfig { host: Some("node-1".into()), ..LogConfig::default() }
}

fn within(layer: JsonLayer, guard: LogGuard, emit: impl FnOnce()) {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), emit);
    drop(guard);
}

fn lines(emit: impl FnOnce()) -> Vec<Value> {
    let gate = Gate::default();
    let (layer, guard) = layer_to(gate.clone(), &config(), "shop", "1.2.3").unwrap();
    within(layer, guard, emit);
    gate.lines()
}

#[test]
fn an_event_has_the_fields_of_version_1_and_nested_names() {
    let events = lines(|| {
        tracing::event!(
            target: "orders::access",
            tracing::Level::INFO,
            event.dataset = "orders.access",
            http.request.method = "POST",
            url.path = "/v1/orders",
            http.response.status_code = 201u16,
            http.request.body.bytes = 512,
            shop.aborted = false,
            absent = tracing::field::Empty,
            "POST {} \"quoted\"\n\u{1}é", "/v1/orders"
        );
    });
    let mut event = events[0].clone();
    let object = event.as_object_mut().unwrap();
    let at = object.remove("@timestamp").unwrap();
    assert!(at.as_str().unwrap().parse::<shop_core::Timestamp>().is_ok() && at.as_str().unwrap().len() == 24);
    let id = object["event"].as_object_mut().unwrap().remove("id").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    let expected = json!({
        "@version": "1", "message": "POST /v1/orders \"quoted\"\n\u{1}é", "host": "node-1", "path": "log",
        "tags": ["orders", "access"], "type": "shop", "level": "INFO", "logger_name": "orders::access",
        "log.level": "info", "ecs": {"version": "8.11.0"},
        "service": {"name": "orders", "version": "1.2.3", "node": {"name": "node-1"}},
        "event": {"dataset": "orders.access", "sequence": 0},
        "http": {"request": {"method": "POST", "body": {"bytes": 512}}, "response": {"status_code": 201}},
        "url": {"path": "/v1/orders"},
        "shop": {"aborted": false},
    });
    assert_eq!(event, expected);
}

#[test]
fn no_field_overrides_what_the_event_itself_says() {
    let error = io::Error::other("disk on fire");
    let events = lines(|| {
        tracing::warn!(
            host = "evil",
            level = 7,
            path = "/x",
            service.name = "evil",
            tags = "x",
            event.id = "mine",
            event.sequence = 9,
            http = "scalar",
            http.request.id = "r-1",
            error = &error as &dyn std::error::Error,
            a = 1,
            a.b = 2,
            order_id = "o-1",
            "w"
        );
        tracing::error!(error = %error, ratio = f64::NAN, big = u128::MAX, small = -1i64);
    });
    let event = &events[0];
    assert_eq!(
        (&event["host"], &event["level"], &event["service"]["name"]),
        (&json!("node-1"), &json!("WARNING"), &json!("shop"))
    );
    assert_eq!(
        event["labels"],
        json!({"host": "evil", "level": 7, "path": "/x", "service_name": "evil", "tags": "x"})
    );
    assert_eq!((&event["event"]["sequence"], event["event"]["id"].as_str().unwrap().len()), (&json!(0), 36));
    assert_eq!(event["http"], json!({"value": "scalar", "request": {"id": "r-1"}}));
    assert_eq!((&event["a"], &event["order_id"]), (&json!({"value": 1, "b": 2}), &json!("o-1")));
    assert_eq!(event["error"], json!({"message": "disk on fire"}));
    let event = &events[1];
    assert_eq!((&event["ratio"], &event["small"]), (&json!("NaN"), &json!(-1)));
    assert_eq!(event["big"], u128::MAX.to_string());
    assert!(!event["message"].as_str().unwrap().is_empty(), "an event without a text has its place as one");
}

#[test]
fn secrets_are_masked() {
    let events = lines(|| {
        tracing::info!(
            user.password = "hunter2",
            api_token = 4711,
            url.query = "a=1&access_token=hunter2&b",
            "x"
        );
    });
    let event = &events[0];
    assert_eq!((&event["user"]["password"], &event["api_token"]), (&json!("***"), &json!("***")));
    assert_eq!(event["url"]["query"], "a=1&access_token=***&b");
}

#[test]
fn a_line_is_never_longer_than_32_kib() {
    let long = "é\"".repeat(100_000);
    let events = lines(|| {
        tracing::info!(value = long, "{long}");
        tracing::info!(a = long, b = long, c = long, d = long, e = long, "{long}");
        tracing::info!("short");
    });
    let text = events[0]["value"].as_str().unwrap();
    assert!(text.len() < 9 << 10 && text.ends_with('…') && text.starts_with("é\"é"));
    assert_eq!((&events[1]["shop"]["truncated"], events[1].get("a")), (&json!(true), None));
    assert_eq!((&events[1]["event"]["sequence"], &events[2]["event"]["sequence"]), (&json!(1), &json!(2)));
    assert!(events.iter().all(|event| event.to_string().len() <= 32 << 10));
}

#[test]
fn a_value_that_logs_while_it_is_logged_is_two_events() {
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("inner");
            f.write_str("outer")
        }
    }
    let mut messages: Vec<String> = lines(|| tracing::info!(value = ?Chatty, "said"))
        .iter()
        .map(|event| format!("{} {}", event["message"], event["value"]))
        .collect();
    messages.sort();
    // `tracing` itself does not dispatch an event inside an event's recording on all paths; if it does, it is whole.
    assert_eq!(messages.last().unwrap(), "\"said\" \"outer\"");
}

#[test]
fn sequences_have_no_gap_and_ids_no_double_over_threads() {
    let gate = Gate::default();
    let (layer, guard) = layer_to(gate.clone(), &config(), "shop", "1").unwrap();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    (0..1000).for_each(|n| tracing::info!(n, "x"))
                });
            });
        }
    });
    drop(guard);
    let events = gate.lines();
    let sequences: HashSet<u64> = events.iter().map(|e| e["event"]["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (0..4000).collect());
    let ids: HashSet<&str> = events.iter().map(|e| e["event"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4000);
}

#[test]
fn what_is_dropped_is_counted_and_told_in_the_stream() {
    let gate = Gate::default();
    let config = LogConfig { queue: ByteSize(64 << 10), ..config() };
    let (layer, guard) = layer_to(gate.clone(), &config, "shop", "1").unwrap();
    gate.close();
    // More than the queue and what the writer thread has taken can be, whatever it does meanwhile.
    let filler = "x".repeat(4000);
    let emitted = 200;
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        (0..emitted).for_each(|n| tracing::info!(n, filler, "x"));
    });
    let dropped = guard.stats().dropped;
    assert!(dropped > 0);
    gate.open();
    drop(guard);
    let events = gate.lines();
    let told: u64 = events.iter().filter_map(|event| event["shop"]["dropped"].as_u64()).sum();
    let reports = events.iter().filter(|event| event["event"]["action"] == "log.dropped").count();
    assert!(reports > 0);
    assert_eq!(told, dropped, "told once there was room, and only once");
    assert_eq!((events.len() - reports) as u64, emitted - dropped);
    let highest = events.iter().map(|event| event["event"]["sequence"].as_u64().unwrap()).max().unwrap();
    assert_eq!(highest + 1, emitted + reports as u64, "what was dropped is a gap in the sequence");
}

#[test]
fn blocking_loses_nothing() {
    let gate = Gate::default();
    let config = LogConfig { queue: ByteSize(0), overflow: Overflow::Block, ..config() };
    let (layer, guard) = layer_to(gate.clone(), &config, "shop", "1").unwrap();
    within(layer, guard, || (0..5000).for_each(|n| tracing::info!(n, "x")));
    assert_eq!(gate.lines().len(), 5000);
}

#[test]
fn files_are_written_whole_when_the_guard_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let file = FileConfig { dir: dir.path().join("logs"), rotation: Rotation::Never, keep: None };
    let config = LogConfig { stdout: StdoutConfig { enabled: false }, file: Some(file), ..config() };
    let (layer, guard) = layer(&config, "orders", "1").unwrap();
    within(layer, guard, || (0..1000).for_each(|n| tracing::info!(n, "x")));
    let text = std::fs::read_to_string(dir.path().join("logs/orders.jsonl")).unwrap();
    assert_eq!(text.lines().map(strict).count(), 1000);
}

#[test]
fn a_bad_configuration_is_named() {
    for (level, fits) in
        [("info", true), ("warn,shop_orders=debug", true), ("loud", false), ("", false), ("a=b", false)]
    {
        let config = LogConfig { level: level.into(), ..config() };
        assert_eq!(shop_core::log::check(&config).is_ok(), fits, "{level}");
    }
    let file = FileConfig { dir: "/proc/none/x".into(), rotation: Rotation::Daily, keep: None };
    let error = layer(&LogConfig { file: Some(file), ..config() }, "orders", "1").unwrap_err();
    assert!(error.to_string().contains("/proc/none/x"), "{error}");
}

#[cfg(feature = "http")]
#[test]
fn what_became_of_the_lines_is_in_the_metrics() {
    let metrics = shop_core::http::install_prometheus().unwrap();
    let gate = Gate::default();
    let (layer, guard) =
        layer_to(gate.clone(), &LogConfig { queue: ByteSize(0), ..config() }, "shop", "1").unwrap();
    gate.close();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let filler = "x".repeat(4000);
        (0..100).for_each(|n| tracing::info!(n, filler, "x"));
    });
    let dropped = guard.stats().dropped;
    guard.record_metrics();
    for line in [
        r#"log_events_total{output="writer",outcome="written"} 0"#.to_owned(),
        format!(r#"log_events_total{{output="writer",outcome="dropped"}} {dropped}"#),
        format!(r#"log_events_waiting{{output="writer",place="memory"}} {}"#, 100 - dropped),
        r#"log_events_waiting{output="writer",place="spool"} 0"#.to_owned(),
    ] {
        let text = metrics.render();
        assert!(text.contains(&line), "{line}\n{text}");
    }
    gate.open();
}

#[cfg(feature = "http")]
#[tokio::test]
async fn events_inside_a_request_carry_its_ids_and_its_service() {
    use shop_core::http::{Router, reply};
    use tower_service::Service;

    let gate = Gate::default();
    let (layer, guard) = layer_to(gate.clone(), &config(), "shop", "1").unwrap();
    let subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let mut app = Router::new(())
        .get("/v1/x", |(), _| async {
            tracing::info!("inside");
            Ok(reply::no_content())
        })
        .into_app(shop_core::service!("products"));
    let request = http::Request::get("/v1/x")
        .header("x-request-id", "r-1")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    drop(app.call(request).await.unwrap());
    tracing::info!("outside");
    drop((subscriber, guard));
    let events = gate.lines();
    assert_eq!(events.len(), 3);
    for event in &events[..2] {
        assert_eq!(
            (&event["http"]["request"]["id"], &event["service"]["name"]),
            (&json!("r-1"), &json!("products"))
        );
        assert_eq!(event["trace"]["id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    }
    assert_eq!(
        (&events[1]["tags"], &events[1]["url"]["path"]),
        (&json!(["products", "access"]), &json!("/v1/x"))
    );
    assert_eq!((events[2].get("http"), &events[2]["service"]["name"]), (None, &json!("shop")));
}
