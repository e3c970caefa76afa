//! Policies of routes, over real sockets, and the ways around them.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;

use shop_gateway::{Gateway, GatewayConfig};
use support::{RawClient, Running, Upstream, Wire, ok};
use tokio::net::TcpSocket;

async fn gateway(upstream: &Upstream, routes: &str) -> Running {
    let text = format!("[upstreams.up]\nendpoints = [\"{}\"]\n{routes}", upstream.addr);
    Running::start(toml::from_str(&text).unwrap()).await
}

/// A client that connects from an address of its own.
async fn client_at(ip: &str, to: SocketAddr) -> RawClient {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    Wire::new(socket.connect(to).await.unwrap())
}

#[tokio::test]
async fn a_client_of_another_address_is_refused_whatever_its_headers_say() {
    let upstream = Upstream::echo().await;
    let running = gateway(
        &upstream,
        r#"
        [[routes]]
        upstream = "up"
        [[routes]]
        path = "/admin"
        upstream = "up"
        [routes.addresses]
        allow = ["127.0.0.0/8"]
        deny = ["127.0.0.2"]
        "#,
    )
    .await;
    let mut outside = client_at("127.0.0.2", running.addr).await;
    for spoofed in [
        "",
        "x-forwarded-for: 127.0.0.1\r\n",
        "X-FORWARDED-FOR: 127.0.0.1\r\nx-forwarded-for: 127.0.0.1\r\n",
        "forwarded: for=127.0.0.1\r\n",
        "x-real-ip: 127.0.0.1\r\n",
        "connection: x-forwarded-for\r\nx-forwarded-for: 127.0.0.1\r\n",
    ] {
        for path in ["/admin", "/admin/", "/admin/x?y"] {
            let refused = outside.ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n{spoofed}\r\n")).await;
            assert_eq!((refused.status(), refused.code().as_str()), (403, "address_denied"), "{spoofed}");
        }
    }
    assert!(upstream.seen().is_empty());
    // Other routes, and other clients of this one, are as before.
    assert_eq!(outside.get("/").await.status(), 200);
    assert_eq!(client_at("127.0.0.3", running.addr).await.get("/admin").await.status(), 200);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_route_has_a_limit_of_its_own_for_bodies_of_known_and_unknown_length() {
    let upstream = Upstream::start(|request| Some(ok(&request.body.len().to_string()))).await;
    let running = gateway(
        &upstream,
        r#"
        [gateway.limits]
        max_body = "10B"
        [[routes]]
        upstream = "up"
        [[routes]]
        path = "/small"
        upstream = "up"
        max_body = "4B"
        [[routes]]
        path = "/large"
        upstream = "up"
        max_body = "20B"
        "#,
    )
    .await;
    for (path, most) in [("/", 10), ("/small", 4), ("/large", 20)] {
        for (length, status) in [(most, 200), (most + 1, 413)] {
            let body = "x".repeat(length);
            let known = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
            let chunked = format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            );
            for request in [known, chunked] {
                let res = running.client().await.ask(&request).await;
                assert_eq!(res.status(), status, "{request}");
                if status == 413 {
                    assert_eq!(res.code(), "body_too_large");
                } else {
                    assert_eq!(res.text(), length.to_string());
                }
            }
        }
    }
}

const HOURLY: &str = r#"
    [[routes]]
    upstream = "up"
    rate_limit = { rate = 3, per = "1h" }
    [[routes]]
    path = "/by-key"
    upstream = "up"
    rate_limit = { rate = 1, per = "1h", by = "header:x-key" }
    [[routes]]
    path = "/all"
    upstream = "up"
    rate_limit = { rate = 1, per = "1h", by = "route" }
"#;

#[tokio::test]
async fn a_client_above_its_rate_gets_429_whatever_it_says_of_itself() {
    let upstream = Upstream::echo().await;
    let running = gateway(&upstream, HOURLY).await;
    let mut client = running.client().await;
    for left in [2, 1, 0] {
        let res = client.get("/").await;
        assert_eq!(
            (res.status(), res.header("ratelimit-policy").unwrap().as_str()),
            (200, "\"default\";q=3;w=3600")
        );
        assert!(res.header("ratelimit").unwrap().starts_with(&format!("\"default\";r={left};t=")), "{res:?}");
    }
    for spoofed in
        ["x-forwarded-for: 192.0.2.9", "X-Real-IP: 192.0.2.9", "forwarded: for=192.0.2.9", "x-key: 9"]
    {
        // On a connection of its own: an address is not a connection.
        let refused =
            running.client().await.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\n{spoofed}\r\n\r\n")).await;
        assert_eq!((refused.status(), refused.code().as_str()), (429, "rate_limited"), "{spoofed}");
        assert!((1..=1200).contains(&refused.header("retry-after").unwrap().parse::<u32>().unwrap()));
        assert!(refused.header("ratelimit").unwrap().starts_with("\"default\";r=0;t="));
        assert_eq!(refused.problem()["retryable"], true);
    }
    assert_eq!(upstream.seen().len(), 3);
    // The connection lives, and so do other clients and routes.
    assert_eq!(client.get("/").await.status(), 429);
    assert_eq!(client_at("127.0.0.2", running.addr).await.get("/").await.status(), 200);

    let by_key = |key: &str| format!("GET /by-key HTTP/1.1\r\nhost: a\r\n{key}\r\n\r\n");
    assert_eq!(client.ask(&by_key("x-key: secret-1")).await.status(), 200);
    assert_eq!(client.ask(&by_key("X-KEY: secret-1")).await.status(), 429);
    assert_eq!(client.ask(&by_key("x-key: secret-2")).await.status(), 200);

    assert_eq!(client.get("/all").await.status(), 200);
    assert_eq!(client_at("127.0.0.2", running.addr).await.get("/all").await.status(), 429);
    // What is counted is nowhere to be seen.
    assert!(!format!("{:?}", running.gateway).contains("secret-"));
}

#[tokio::test]
async fn counters_are_one_for_all_workers_and_live_through_a_reload() {
    let upstream = Upstream::echo().await;
    let text = format!("[upstreams.up]\nendpoints = [\"{}\"]\n{HOURLY}", upstream.addr);
    let config: GatewayConfig = toml::from_str(&text).unwrap();
    let plan = Gateway::builder(config.clone()).plan().unwrap();
    for _ in 0..3 {
        let worker = Running::with(plan.gateway(), config.clone()).await;
        assert_eq!(worker.client().await.get("/").await.status(), 200);
    }
    let mut changed = config.clone();
    changed.gateway.limits.max_body.0 += 1;
    changed.routes.reverse();
    plan.reload(changed.clone()).unwrap();
    let worker = Running::with(plan.gateway(), changed.clone()).await;
    assert_eq!(worker.client().await.get("/").await.status(), 429);
    // A limit that is another begins anew.
    changed.routes[2].rate_limit.as_mut().unwrap().rate = 4;
    plan.reload(changed).unwrap();
    assert_eq!(worker.client().await.get("/").await.status(), 200);
}

#[test]
fn what_is_wrong_with_a_rate_limit_is_told_with_its_place() {
    let config: GatewayConfig = toml::from_str(
        r#"
        [upstreams.up]
        endpoints = ["a:1"]
        [[routes]]
        upstream = "up"
        rate_limit = { rate = 0, per = "0s", by = "header:a b", max_keys = 0 }
        [[routes]]
        path = "/b"
        upstream = "up"
        rate_limit = { rate = 1, burst = 0, by = "moon" }
        "#,
    )
    .unwrap();
    let errors = config.validate().unwrap_err();
    let paths: Vec<_> = errors.faults().iter().map(|fault| fault.path.as_str()).collect();
    let expected = [
        "0].rate_limit.rate",
        "0].rate_limit.per",
        "0].rate_limit.by",
        "0].rate_limit.max_keys",
        "1].rate_limit.burst",
        "1].rate_limit.by",
    ];
    assert_eq!(paths, expected.map(|place| format!("routes[{place}")));
    assert!(
        toml::from_str::<GatewayConfig>("[[routes]]\nupstream = \"a\"\nrate_limit = { rate = 1, typo = 1 }")
            .is_err()
    );
}

#[test]
fn what_is_wrong_with_a_policy_is_told_with_its_place() {
    let config: GatewayConfig = toml::from_str(
        r#"
        [upstreams.up]
        endpoints = ["a:1"]
        [[routes]]
        upstream = "up"
        max_body = "0B"
        addresses = { allow = ["10.0.0.0/8", "10.0.0.0/33", "unix"], deny = ["home", "::ffff:10.0.0.1"] }
        [[routes]]
        path = "/empty"
        upstream = "up"
        addresses = {}
        "#,
    )
    .unwrap();
    let errors = config.validate().unwrap_err();
    let paths: Vec<_> = errors.faults().iter().map(|fault| fault.path.as_str()).collect();
    let of_first = ["allow[1]", "deny[0]", "deny[1]"].map(|place| format!("routes[0].addresses.{place}"));
    let expected =
        [&of_first[..], &["routes[0].max_body".to_owned(), "routes[1].addresses".to_owned()]].concat();
    assert_eq!(paths, expected);
    assert!(Gateway::builder(config.clone()).build().is_err());
    assert_eq!(toml::from_str::<GatewayConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    let unknown = "[[routes]]\nupstream = \"a\"\n[routes.addresses]\ntypo = 1";
    assert!(toml::from_str::<GatewayConfig>(unknown).is_err());
}
