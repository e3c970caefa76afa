//! The configuration as it is written, and all that may be wrong with it.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use shop_gateway::{ConfigErrors, Gateway, GatewayConfig, RequestBody};
use tower::service_fn;

fn parse(text: &str) -> GatewayConfig {
    toml::from_str(text).unwrap()
}

fn paths(errors: &ConfigErrors) -> Vec<&str> {
    errors.faults().iter().map(|fault| fault.path.as_str()).collect()
}

#[test]
fn the_documented_configuration_is_good() {
    let config = parse(
        r#"
        [gateway]
        listen = ["0.0.0.0:8080"]
        workers = 0
        [gateway.limits]
        header_timeout = "30s"
        body_timeout = "30s"
        min_body_rate = "1KiB"
        idle_timeout = "75s"
        max_header = "32KiB"
        max_uri = "8KiB"
        max_body = "100MiB"
        [upstreams.orders]
        endpoints = ["orders-1:8081", "unix:/run/orders.sock"]
        connect_timeout = "5s"
        response_timeout = "250ms"
        [upstreams.products]
        endpoints = ["products-1:8082"]
        [[routes]]
        path = "/v1/orders"
        upstream = "orders"
        [[routes]]
        path = "/v1/products"
        host = "*.shop.example"
        method = ["GET", "HEAD"]
        headers = { x-canary = "yes" }
        upstream = "products"
        "#,
    );
    config.validate().unwrap();
    assert_eq!(config.gateway.limits, Default::default());
    assert_eq!(config.upstreams["orders"].response_timeout.0, Duration::from_millis(250));
    // What is written is what is read.
    assert_eq!(parse(&toml::to_string(&config).unwrap()), config);
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    for text in [
        "typo = 1",
        "[gateway]\ntypo = 1",
        "[gateway.limits]\ntypo = 1",
        "[upstreams.a]\ntypo = 1",
        "[[routes]]\nupstream = \"a\"\ntypo = 1",
        "[[routes]]\nupstream = \"a\"\n[routes.upgrade]\ntypo = 1",
        "[gateway]\nlisten = [\"nowhere\"]",
        "[gateway.limits]\nidle_timeout = \"soon\"",
        "[[routes]]\npath = \"/\"",
    ] {
        assert!(toml::from_str::<GatewayConfig>(text).is_err(), "{text}");
    }
}

#[test]
fn every_fault_is_told_with_its_place() {
    let config = parse(
        r#"
        [gateway]
        listen = ["127.0.0.1:80", "127.0.0.1:80"]
        [gateway.limits]
        header_timeout = "0s"
        max_uri = "0B"
        max_header = "1GiB"
        [upstreams.empty]
        [upstreams.bad]
        endpoints = ["nonsense", "a:1", "a:1"]
        connect_timeout = "0s"
        [[routes]]
        path = "v1"
        upstream = "bad"
        [[routes]]
        path = "/a"
        upstream = "nobody"
        [[routes]]
        path = "/b"
        host = "*.x y"
        method = "get"
        headers = { "a b" = "c" }
        upstream = "bad"
        [[routes]]
        path = "/c"
        method = ["GET", "PUT"]
        upstream = "bad"
        [[routes]]
        path = "/c/"
        method = ["PUT", "GET"]
        upstream = "empty"
        "#,
    );
    let errors = config.validate().unwrap_err();
    assert_eq!(
        paths(&errors),
        [
            "gateway.listen[1]",
            "gateway.limits.header_timeout",
            "gateway.limits.max_header",
            "gateway.limits.max_uri",
            "upstreams.bad.endpoints[0]",
            "upstreams.bad.endpoints[2]",
            "upstreams.bad.connect_timeout",
            "upstreams.empty.endpoints",
            "routes[0].path",
            "routes[1].upstream",
            "routes[2].host",
            "routes[2].method",
            "routes[2].headers.a b",
            "routes[4]",
        ]
    );
    assert_eq!(errors.to_string().lines().count(), 14);
    assert!(errors.to_string().contains("routes[1].upstream: there is no upstream `nobody`"));
    assert!(Gateway::builder(config).build().is_err());
}

#[test]
fn a_service_is_an_upstream_and_has_no_endpoints() {
    let service =
        service_fn(|_: Request<RequestBody>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let routed = parse("[[routes]]\nupstream = \"local\"");
    assert_eq!(paths(&routed.validate().unwrap_err()), ["routes[0].upstream"]);
    Gateway::builder(routed).service("local", service).build().unwrap();
    let both = parse("[upstreams.local]\nendpoints = [\"a:1\"]");
    let errors = Gateway::builder(both).service("local", service).build().unwrap_err();
    assert_eq!(paths(&errors), ["upstreams.local.endpoints"]);
}

#[test]
fn protocols_to_change_to_are_named_and_do_not_carry_requests() {
    let config = parse(
        r#"
        [upstreams.a]
        endpoints = ["a:1"]
        [[routes]]
        upstream = "a"
        upgrade = { protocols = ["websocket", "chat/2", "not one", "H2C", "h2c/1"], idle_timeout = "0s" }
        [[routes]]
        path = "/none"
        upstream = "a"
        upgrade = { protocols = [] }
        "#,
    );
    let errors = config.validate().unwrap_err();
    let expected = ["protocols[2]", "protocols[3]", "protocols[4]", "idle_timeout"];
    assert_eq!(paths(&errors), expected.map(|place| format!("routes[0].upgrade.{place}")));
    assert_eq!(parse(&toml::to_string(&config).unwrap()), config);
}
