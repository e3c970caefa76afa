//! Targets and hosts: what is routed is what is forwarded, and there is one host.

use crate::harness::{cases, refused, served};

fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn host(host: &str) -> String {
    format!("GET /a HTTP/1.1\r\n{host}\r\n\r\n")
}

cases! {
    no_host: refused("GET /a HTTP/1.1\r\n\r\n");
    two_hosts: refused(host("Host: a\r\nHost: b"));
    two_equal_hosts: refused(host("Host: a\r\nHost: a"));
    two_hosts_with_others_between: refused(host("Host: a\r\nX: y\r\nhost: b"));
    an_empty_host: refused(host("Host:"));
    a_host_of_blanks: refused(host("Host: \t "));
    a_list_of_hosts: refused(host("Host: a, b"));
    a_host_with_a_comma: refused(host("Host: a,b")).ours_alone();
    a_host_with_a_path: refused(host("Host: a/b"));
    a_host_with_a_query: refused(host("Host: a?b")).ours_alone();
    a_host_with_a_fragment: refused(host("Host: a#b")).ours_alone();
    a_host_with_a_user: refused(host("Host: u@a")).ours_alone();
    a_host_with_a_space: refused(host("Host: a b"));
    a_host_with_a_backslash: refused(host("Host: a\\b")).ours_alone();
    a_host_that_is_a_dot: refused(host("Host: ."));
    a_host_that_is_two_dots: refused(host("Host: .."));
    a_host_with_an_empty_label: refused(host("Host: a..b"));
    a_host_that_begins_with_a_dot: refused(host("Host: .a")).ours_alone();
    a_host_that_is_a_port: refused(host("Host: :80"));
    a_host_with_a_port_too_large: refused(host("Host: a:65536")).ours_alone();
    a_host_with_a_port_that_is_a_word: refused(host("Host: a:b")).ours_alone();
    a_host_with_two_ports: refused(host("Host: a:80:81")).ours_alone();
    a_host_with_half_a_bracket: refused(host("Host: [::1")).ours_alone();
    a_host_that_is_no_address: refused(host("Host: [g]")).ours_alone();
    a_host_with_text_after_the_bracket: refused(host("Host: [::1]x")).ours_alone();
    a_host_with_an_escape: refused(host("Host: a%00")).ours_alone();
    a_host_above_ascii: refused(host("Host: \u{e9}")).ours_alone();
    a_host_with_a_port: served(host("Host: a:8080"), ["GET /a"])
        .and(|o| assert_eq!(o.request().all("host"), ["a:8080"])).ours_alone();
    a_host_that_is_an_address: served(host("Host: [::1]:8080"), ["GET /a"])
        .and(|o| assert_eq!(o.request().all("host"), ["[::1]:8080"])).ours_alone();
    a_host_with_the_dot_of_the_root: served(host("Host: shop.example."), ["GET /a"]);
    http_1_0_without_a_host: served("GET /a HTTP/1.0\r\n\r\n", ["GET /a"])
        .and(|o| assert_eq!(o.answer().start, "HTTP/1.0 200 OK")).ours_alone();

    an_absolute_target: served("GET http://real.example/a?b HTTP/1.1\r\nHost: other\r\n\r\n", ["GET /a?b"])
        .and(|o| assert_eq!(o.request().all("host"), ["real.example"]));
    an_absolute_target_without_a_path: served("GET http://real.example HTTP/1.1\r\nHost: other\r\n\r\n", ["GET /"]);
    an_absolute_target_with_a_query_alone: served(
        "GET http://real.example?x HTTP/1.1\r\nHost: other\r\n\r\n", ["GET /?x"]
    );
    an_absolute_target_with_a_port: served(
        "GET http://real.example:81/a HTTP/1.1\r\nHost: other\r\n\r\n", ["GET /a"]
    ).and(|o| assert_eq!(o.request().all("host"), ["real.example:81"])).ours_alone();
    an_absolute_target_says_the_forwarded_host: served(
        "GET http://real.example/a HTTP/1.1\r\nHost: other\r\nX-Forwarded-Host: evil\r\n\r\n", ["GET /a"]
    ).and(|o| assert_eq!(o.request().all("x-forwarded-host"), ["real.example"]));
    an_absolute_target_with_a_user: refused(target("http://u@real.example/a"));
    an_absolute_target_with_a_bad_port: refused(target("http://real.example:65536/a")).ours_alone();
    an_absolute_target_without_a_host: refused(target("http:///a"));
    an_absolute_target_of_another_scheme: refused(target("ftp://real.example/a")).ours_alone();
    an_absolute_target_and_two_hosts: refused("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    an_authority_for_a_target: refused(target("a:80"));
    a_word_for_a_target: refused(target("a"));
    a_star_for_get: refused(target("*"));
    a_star_for_options: served("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ["OPTIONS *"]).ours_alone();
    connect_is_not_forwarded: refused("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").by(&[400, 405]);

    a_dot_segment: refused(target("/a/../b")).ours_alone();
    a_dot_segment_escaped: refused(target("/a/%2e%2E/b")).ours_alone();
    a_dot_segment_half_escaped: refused(target("/a/.%2e/b")).ours_alone();
    dot_segments_above_the_root: refused(target("/../a"));
    a_nul_in_the_target: refused(target("/a\0b"));
    a_control_byte_in_the_target: refused(target("/a\x02b"));
    a_delete_byte_in_the_target: refused(target("/a\x7fb"));
    a_fragment_is_no_part_of_a_target: served(target("/a#b"), ["GET /a"]).ours_alone();
    escapes_are_passed_on_as_they_came: served(target("/a%20b%c3%a9?c=%20"), ["GET /a%20b%c3%a9?c=%20"]);
    two_slashes_are_passed_on: served(target("/a?u=//b"), ["GET /a?u=//b"]);
    too_long_a_target: refused(target(&format!("/{}", "x".repeat(9_000)))).by(&[414]);
    far_too_long_a_target: refused(target(&format!("/{}", "x".repeat(100_000)))).by(&[414, 431]);
}

/// Answered by the gateway itself; the connection goes on.
#[test]
fn trace_is_not_forwarded() {
    use crate::harness::{Front, block_on};
    use crate::strict::{Reader, Upstream};
    use crate::support::config_for;
    use tokio::io::AsyncWriteExt;

    block_on(async {
        let upstream = Upstream::start().await;
        let front = Front::start(config_for(upstream.addr)).await;
        let mut client = Reader::new(front.connect().await);
        client.stream.write_all(b"TRACE /a HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n").await.unwrap();
        let refused = client.response(false).await.unwrap();
        assert_eq!(refused.status(), 405);
        assert!(!refused.text().contains("secret") && refused.header("allow").is_some());
        client.stream.write_all(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(client.response(false).await.unwrap().text(), "/b");
        drop((client, front));
        assert_eq!(upstream.finish().await.served.len(), 1);
    });
}
