//! One access event for each request, whatever becomes of it.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use shop_gateway::{ACCESS_TARGET, RouteConfig};
use support::{PATIENCE, Running, Upstream, config_for, millis};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

type Event = BTreeMap<String, String>;

struct Collect(Mutex<mpsc::UnboundedSender<Event>>);

struct Fields(Event);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == ACCESS_TARGET {
            let mut fields = Fields(Event::new());
            event.record(&mut fields);
            self.0.lock().unwrap().send(fields.0).unwrap();
        }
    }
}

struct Events(mpsc::UnboundedReceiver<Event>, #[allow(dead_code)] DefaultGuard);

impl Events {
    fn collect() -> Self {
        let (tx, rx) = mpsc::unbounded_channel();
        Self(
            rx,
            tracing::subscriber::set_default(tracing_subscriber::registry().with(Collect(Mutex::new(tx)))),
        )
    }

    /// The next event, after which there is no other.
    async fn only(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.0.recv()).await.unwrap().unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(self.0.try_recv().is_err(), "a second event");
        assert_eq!(event["event.dataset"], "gateway.access");
        assert!(event["event.duration"].parse::<u64>().unwrap() > 0);
        event
    }
}

fn summary(event: &Event) -> (&str, &str, bool) {
    (&event["message"], &event["http.response.status_code"], event["shop.aborted"] == "true")
}

#[tokio::test]
async fn an_answered_request_tells_all() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut events = Events::collect();
    let mut client = running.client().await;
    client
        .ask(
            "POST /v1/orders?x=1 HTTP/1.1\r\nhost: a\r\nuser-agent: test/1\r\nx-request-id: r-1\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ncontent-length: 4\r\n\r\nbody",
        )
        .await;
    let event = events.only().await;
    assert_eq!(summary(&event), ("POST /v1/orders 200", "200", false));
    for (field, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/v1/orders"),
        ("url.query", "x=1"),
        ("http.request.body.bytes", "4"),
        ("http.response.body.bytes", "28"),
        ("http.request.id", "r-1"),
        ("trace.id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("client.ip", "127.0.0.1"),
        ("user_agent.original", "test/1"),
        ("labels.route", "/"),
        ("shop.upstream", "up"),
    ] {
        assert_eq!(event[field], value, "{field}");
    }
}

#[tokio::test]
async fn each_outcome_is_one_event() {
    let upstream = Upstream::start(|request| match request.start_line() {
        line if line.contains("/none") => Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        line if line.contains("/broken") => None,
        line if line.contains("/half") => {
            Some(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhalf".to_vec())
        }
        _ => Some(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec()),
    })
    .await;
    let mut config = config_for(upstream.addr);
    config.routes =
        vec![RouteConfig { method: vec!["GET".into(), "HEAD".into()], ..RouteConfig::new("/v1", "up") }];
    config.gateway.limits.header_timeout = millis(200);
    let running = Running::start(config).await;
    let mut events = Events::collect();
    for (request, message, status, aborted) in [
        ("GET /v1 HTTP/1.1\r\nhost: a\r\n\r\n", "GET /v1 200", "200", false),
        ("GET /v1/none HTTP/1.1\r\nhost: a\r\n\r\n", "GET /v1/none 204", "204", false),
        ("GET /v1/broken HTTP/1.1\r\nhost: a\r\n\r\n", "GET /v1/broken 502", "502", false),
        ("GET /v1/half HTTP/1.1\r\nhost: a\r\n\r\n", "GET /v1/half 200", "200", true),
        ("GET /v2 HTTP/1.1\r\nhost: a\r\n\r\n", "GET /v2 404", "404", false),
        ("PUT /v1 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", "PUT /v1 405", "405", false),
        ("GET /v1 HTTP/1.1\r\n\r\n", "GET /v1 400", "400", false),
        ("nonsense\r\n\r\n", "- - 400", "400", false),
        ("GET /v1 HTTP/1.1\r\nhos", "- - 408", "408", false),
    ] {
        running.client().await.ask(request).await;
        assert_eq!(summary(&events.only().await), (message, status, aborted), "{request}");
    }
    let mut client = running.client().await;
    client.send("HEAD /v1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.response_to(true).await;
    assert_eq!(summary(&events.only().await), ("HEAD /v1 200", "200", false));
}

#[tokio::test]
async fn a_client_that_leaves_is_one_event() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.gateway.half_close = false;
    let running = Running::start(config).await;
    let mut events = Events::collect();
    // Before any answer.
    let mut client = running.client().await;
    client.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    drop(client);
    assert_eq!(summary(&events.only().await), ("GET /wait 499", "499", true));
    assert!(up.is_closed().await);
    // In the middle of one.
    let mut client = running.client().await;
    client.send("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\nfirst").await;
    client.head().await.unwrap();
    drop(client);
    let event = events.only().await;
    assert_eq!(summary(&event), ("GET /long 200", "200", true));
    assert_eq!(event["http.response.body.bytes"], "5");
}

#[tokio::test]
async fn a_tunnel_is_reported_at_its_end_with_what_passed_both_ways() {
    let mut events = Events::collect();
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    for aborted in [false, true] {
        let mut client = running.client().await;
        client
            .send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nahead")
            .await;
        let mut up = connections.recv().await.unwrap();
        up.head().await.unwrap();
        up.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc")
            .await;
        client.head().await.unwrap();
        assert_eq!(client.exactly(3).await.unwrap(), b"abc");
        assert_eq!(up.exactly(5).await.unwrap(), b"ahead");
        assert!(events.0.try_recv().is_err(), "it has not ended");
        if aborted {
            socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
        drop(client);
        assert!(up.is_closed().await);
        drop(up);
        let event = events.only().await;
        assert_eq!(event["http.response.status_code"], "101");
        assert_eq!(event["http.request.body.bytes"], "5");
        assert_eq!(event["http.response.body.bytes"], "3");
        assert_eq!(event["url.path"], "/chat");
        assert_eq!(event["shop.aborted"], aborted.to_string());
    }
}
