//! Headers of one hop, which end at the gateway, and those of which only the gateway may speak.

use crate::harness::{Case, Outcome, cases, served};

fn get(lines: &str) -> Case {
    served(format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), ["GET /a"])
}

/// The upstream got none of these.
fn gone(outcome: &Outcome, names: &[&str]) {
    for name in names {
        assert!(outcome.request().header(name).is_none(), "{name}: {outcome:#?}");
    }
}

/// The upstream got this, once.
fn kept(outcome: &Outcome, name: &str, value: &str) {
    assert_eq!(outcome.request().all(name), [value], "{name}: {outcome:#?}");
}

cases! {
    a_name_in_connection: get("Connection: X-One\r\nX-One: 1\r\n").and(|o| gone(o, &["x-one"])).ours_alone();
    names_in_one_connection_line: get("Connection: X-One, X-Two ,X-Three\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n")
        .and(|o| gone(o, &["x-one", "x-two", "x-three"])).ours_alone();
    names_in_the_second_connection_line: get("Connection: X-One\r\nConnection: X-Two\r\nX-One: 1\r\nX-Two: 2\r\n")
        .and(|o| gone(o, &["x-one", "x-two"])).ours_alone();
    names_in_the_third_connection_line: get(
        "Connection: keep-alive\r\nX-Three: 3\r\nConnection: close\r\nconnection: x-three\r\n"
    ).and(|o| gone(o, &["x-three"])).ours_alone();
    names_beside_close: get("Connection: close, X-One\r\nX-One: 1\r\n").and(|o| gone(o, &["x-one"])).ours_alone();
    names_between_empty_elements: get("Connection: , ,X-One,,\r\nX-One: 1\r\n").and(|o| gone(o, &["x-one"])).ours_alone();
    names_in_any_case: get("Connection: x-OnE\r\nX-oNe: 1\r\n").and(|o| gone(o, &["x-one"])).ours_alone();
    every_line_of_a_named_header: get("Connection: X-One\r\nX-One: 1\r\nX-One: 2\r\n")
        .and(|o| gone(o, &["x-one"])).ours_alone();
    a_name_that_is_not_there: get("Connection: X-None\r\nX-One: 1\r\n").and(|o| kept(o, "x-one", "1"));
    a_name_that_is_none: get("Connection: (),X-One\r\nX-One: 1\r\n").and(|o| gone(o, &["x-one"])).ours_alone();
    connection_cannot_take_the_host: get("Connection: Host\r\n").and(|o| kept(o, "host", "a"));
    connection_cannot_take_the_length: served(
        "POST /a HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 4\r\n\r\nbody", ["POST /a"]
    ).and(|o| assert_eq!(o.request().text(), "body"));
    connection_cannot_take_the_chunks: served(
        "POST /a HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\n\r\n", ["POST /a"]
    ).and(|o| assert_eq!(o.request().text(), "body"));
    connection_cannot_take_who_the_client_is: get(
        "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, Traceparent\r\n"
    ).and(|o| {
        kept(o, "x-forwarded-for", "127.0.0.1");
        kept(o, "x-forwarded-proto", "http");
        kept(o, "x-forwarded-host", "a");
        assert!(o.request().header("x-request-id").is_some() && o.request().header("traceparent").is_some());
    }).ours_alone();
    keep_alive_is_of_one_hop: get("Keep-Alive: timeout=5\r\n").and(|o| gone(o, &["keep-alive"]));
    proxy_connection_is_of_one_hop: get("Proxy-Connection: keep-alive\r\n")
        .and(|o| gone(o, &["proxy-connection"])).ours_alone();
    te_is_of_one_hop: get("TE: gzip\r\n").and(|o| gone(o, &["te"]));
    te_trailers_is_said_again: get("TE: gzip, trailers;q=1\r\nTE: trailers\r\n")
        .and(|o| kept(o, "te", "trailers")).ours_alone();
    upgrade_is_of_one_hop: get("Connection: Upgrade\r\nUpgrade: foo/2\r\n").and(|o| gone(o, &["upgrade", "connection"]));
    upgrade_without_connection: get("Upgrade: websocket\r\n").and(|o| gone(o, &["upgrade"]));
    h2c_is_of_one_hop: get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
        .and(|o| gone(o, &["upgrade", "http2-settings", "connection"])).ours_alone();
    proxy_authorization_is_of_one_hop: get("Proxy-Authorization: Basic eA==\r\n")
        .and(|o| gone(o, &["proxy-authorization"])).ours_alone();
    trailer_passes: served(
        "POST /a HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\n\r\n",
        ["POST /a"],
    ).and(|o| assert_eq!(o.request().trailers, [("x-sum".to_owned(), "7".to_owned())])).ours_alone();
    end_to_end_headers_pass_as_they_came: get("X-A: 1\r\nCookie: a=b\r\nX-A: 2\r\nAuthorization: Bearer x\r\n").and(|o| {
        assert_eq!(o.request().all("x-a"), ["1", "2"]);
        kept(o, "cookie", "a=b");
        kept(o, "authorization", "Bearer x");
    });

    x_forwarded_for_is_overwritten: get("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n")
        .and(|o| kept(o, "x-forwarded-for", "127.0.0.1"));
    x_forwarded_host_is_overwritten: get("X-Forwarded-Host: evil\r\n")
        .and(|o| kept(o, "x-forwarded-host", "a"));
    x_forwarded_proto_is_overwritten: get("X-Forwarded-Proto: https\r\n")
        .and(|o| kept(o, "x-forwarded-proto", "http"));
    forwarded_is_dropped: get("Forwarded: for=6.6.6.6\r\n").and(|o| gone(o, &["forwarded"]));
    x_forwarded_port_and_the_like_are_dropped: get("X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /a\r\nX-Forwarded-Ssl: on\r\n")
        .and(|o| gone(o, &["x-forwarded-port", "x-forwarded-prefix", "x-forwarded-ssl"]));
    x_real_ip_is_dropped: get("X-Real-IP: 6.6.6.6\r\n").and(|o| gone(o, &["x-real-ip"]));
    names_with_underscores_are_dropped: get("X_Forwarded_For: 6.6.6.6\r\nX_User: root\r\nX-User: me\r\n").and(|o| {
        gone(o, &["x_forwarded_for", "x_user"]);
        kept(o, "x-user", "me");
    });
    a_request_id_that_is_none_is_replaced: get("X-Request-Id: a\u{e9}\r\n")
        .and(|o| assert_eq!(o.request().header("x-request-id").unwrap().len(), 36)).ours_alone();
}
