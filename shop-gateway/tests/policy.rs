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
