//! Where requests begin and end: whatever two parties could read in two ways is refused.

use crate::harness::{cases, refused, served};

/// A POST with these header lines and what follows them. The last of it would be a request of its own to whoever ends the body
/// before it.
fn post(lines: &str, rest: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n{rest}")
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn chunked(rest: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", rest)
}

fn lines(lines: &str) -> String {
    post(lines, &format!("0\r\n\r\n{SMUGGLED}"))
}

fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

fn header(bytes: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: a\r\n{bytes}\r\n\r\n{SMUGGLED}")
}

cases! {
    // Two framings (RFC 9112, 6.3).
    length_before_chunked: refused(lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
    chunked_before_length: refused(lines("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"));
    zero_length_beside_chunked: refused(lines("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"));
    length_and_chunked_in_any_case: refused(lines("cOnTeNt-LeNgTh: 5\r\ntRaNsFeR-eNcOdInG: cHuNkEd\r\n"));
    length_far_from_chunked: refused(lines(&format!(
        "Content-Length: 5\r\n{}Transfer-Encoding: chunked\r\n", "X-Between: yes\r\n".repeat(40)
    )));
    bad_length_after_chunked: refused(lines("Transfer-Encoding: chunked\r\nContent-Length: x\r\n"));
    two_framings_after_a_good_request: refused(format!(
        "GET /first HTTP/1.1\r\nHost: a\r\n\r\n{}", lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
    )).after(1);
    two_framings_after_a_good_body: refused(format!(
        "{}{}", post("Content-Length: 4\r\n", "body"), lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
    )).after(1);

    // Lengths.
    two_equal_lengths: refused(post("Content-Length: 4\r\nContent-Length: 4\r\n", "body"));
    two_lengths_that_differ: refused(post("Content-Length: 0\r\nContent-Length: 35\r\n", SMUGGLED));
    two_lengths_with_others_between: refused(post("Content-Length: 4\r\nX: y\r\nContent-Length: 4\r\n", "body"));
    a_list_of_equal_lengths: refused(post("Content-Length: 4, 4\r\n", "body"));
    a_length_with_a_plus: refused(post("Content-Length: +4\r\n", "body"));
    a_negative_length: refused(post("Content-Length: -4\r\n", "body"));
    a_hexadecimal_length: refused(post("Content-Length: 0x4\r\n", "body"));
    a_length_with_an_underscore: refused(post("Content-Length: 5_0\r\n", "body"));
    a_length_with_a_space_inside: refused(post("Content-Length: 1 2\r\n", "body"));
    a_length_with_a_fraction: refused(post("Content-Length: 4.0\r\n", "body"));
    a_length_with_an_exponent: refused(post("Content-Length: 1e1\r\n", "body"));
    an_empty_length: refused(post("Content-Length:\r\n", SMUGGLED));
    a_blank_length: refused(post("Content-Length: \t \r\n", SMUGGLED));
    a_length_of_2_to_the_64: refused(post("Content-Length: 18446744073709551616\r\n", "body")).by(&[400, 413]);
    a_length_of_2_to_the_64_less_one: refused(post("Content-Length: 18446744073709551615\r\n", "body"))
        .by(&[400, 413]);
    a_length_of_2_to_the_64_less_two: refused(post("Content-Length: 18446744073709551614\r\n", "body"))
        .by(&[400, 413]);
    a_length_that_wraps_around_to_4: refused(post("Content-Length: 18446744073709551620\r\n", "body")).by(&[400, 413]);
    a_length_in_other_digits: refused(post("Content-Length: \u{0664}\r\n", "body"));
    a_length_with_a_nul: refused(post("Content-Length: 4\0\r\n", "body"));
    a_length_over_the_limit: refused(post("Content-Length: 104857601\r\n", "")).by(&[413]);
    a_length_with_zeros_in_front: served(post("Content-Length: 0004\r\n", "body"), ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), "body"));
    a_length_between_blanks: served(post("Content-Length:\t 4 \t\r\n", "body"), ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), "body")).ours_alone();

    // Transfer codings.
    identity: refused(lines("Transfer-Encoding: identity\r\n")).by(&[400, 501]);
    an_unknown_coding: refused(lines("Transfer-Encoding: xchunked\r\n")).by(&[400, 501]);
    chunked_with_a_tail: refused(lines("Transfer-Encoding: chunkedx\r\n")).by(&[400, 501]);
    gzip_then_chunked: refused(lines("Transfer-Encoding: gzip, chunked\r\n")).by(&[400, 501]);
    chunked_then_identity: refused(lines("Transfer-Encoding: chunked, identity\r\n")).by(&[400, 501]);
    chunked_twice_in_a_line: refused(lines("Transfer-Encoding: chunked, chunked\r\n")).by(&[400, 501]);
    chunked_twice_in_two_lines: refused(lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"))
        .by(&[400, 501]);
    chunked_then_identity_in_two_lines: refused(lines(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"
    )).by(&[400, 501]);
    identity_then_chunked_in_two_lines: refused(lines(
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"
    )).by(&[400, 501]);
    chunked_with_a_vertical_tab: refused(lines("Transfer-Encoding: \x0bchunked\r\n")).by(&[400, 501]);
    chunked_with_a_form_feed: refused(lines("Transfer-Encoding: \x0cchunked\r\n")).by(&[400, 501]);
    chunked_in_quotes: refused(lines("Transfer-Encoding: \"chunked\"\r\n")).by(&[400, 501]);
    chunked_with_a_parameter: refused(lines("Transfer-Encoding: chunked;q=1\r\n")).by(&[400, 501]);
    chunked_with_a_comma: refused(lines("Transfer-Encoding: chunked,\r\n")).by(&[400, 501]);
    an_empty_coding: refused(lines("Transfer-Encoding:\r\n")).by(&[400, 501]);
    chunked_with_a_space_before_the_colon: refused(lines("Transfer-Encoding : chunked\r\n"));
    chunked_in_a_folded_line: refused(lines("Transfer-Encoding:\r\n chunked\r\n")).by(&[400, 501]);
    chunked_under_an_underscored_name: served(
        post("Transfer_Encoding: chunked\r\nContent-Length: 4\r\n", "body"), ["POST /a"]
    );
    chunked_in_http_1_0: refused(
        format!("POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")
    ).by(&[400, 501]);
    chunked_in_capitals: served(post("Transfer-Encoding: CHUNKED\r\n", "4\r\nbody\r\n0\r\n\r\n"), ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), "body"));

    // Chunks. The head may have been passed on when one of them is bad; the request has not.
    a_line_feed_after_the_chunk_size: refused(chunked("4\nbody\r\n0\r\n\r\n")).ours_alone();
    a_line_feed_after_the_last_chunk: refused(chunked(&format!("4\r\nbody\r\n0\n\r\n{SMUGGLED}"))).ours_alone();
    a_line_feed_in_a_chunk_extension: refused(chunked("4;a\nx\r\nbody\r\n0\r\n\r\n"));
    a_carriage_return_in_a_chunk_extension: refused(chunked("4;a\rx\r\nbody\r\n0\r\n\r\n"));
    a_nul_in_a_chunk_extension: refused(chunked("4;a\0\r\nbody\r\n0\r\n\r\n")).ours_alone();
    a_line_feed_after_chunk_data: refused(chunked("4\r\nbody\n0\r\n\r\n")).ours_alone();
    a_carriage_return_after_chunk_data: refused(chunked("4\r\nbody\r0\r\n\r\n"));
    nothing_after_chunk_data: refused(chunked("4\r\nbody0\r\n\r\n"));
    a_chunk_longer_than_it_says: refused(chunked("3\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_with_0x: refused(chunked("0x4\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_with_a_plus: refused(chunked("+4\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_with_a_minus: refused(chunked("-4\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_with_an_underscore: refused(chunked("0_4\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_with_a_space_in_front: refused(chunked(" 4\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_with_a_word_behind: refused(chunked("4 x\r\nbody\r\n0\r\n\r\n")).ours_alone();
    an_empty_chunk_size: refused(chunked("\r\nbody\r\n0\r\n\r\n"));
    an_extension_without_a_size: refused(chunked(";x\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_that_is_no_number: refused(chunked("g\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_of_17_digits: refused(chunked("00000000000000004\r\nbody\r\n0\r\n\r\n")).ours_alone();
    a_chunk_size_of_2_to_the_64: refused(chunked("10000000000000000\r\nbody\r\n0\r\n\r\n"));
    a_chunk_size_without_end: refused(chunked(&"0".repeat(100_000))).ours_alone();
    a_chunk_size_that_overflows_with_the_next: refused(chunked("4\r\nbody\r\nfffffffffffffffff\r\nx"));
    a_chunk_extension_without_end: refused(chunked(&format!("4;{}", "x".repeat(200_000)))).ours_alone();
    chunk_extensions_are_not_passed_on: served(chunked("4;a=b\r\nbody\r\n0;c\r\n\r\n"), ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), "body"));
    a_chunk_size_in_capitals_with_zeros: served(chunked("00A\r\n0123456789\r\n000\r\n\r\n"), ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), "0123456789"));
    a_body_that_looks_like_a_request: served(
        chunked(&format!("23\r\n{SMUGGLED}\r\n0\r\n\r\n")), ["POST /a"]
    ).and(|o| assert_eq!(o.request().text(), SMUGGLED));

    // Trailers.
    a_line_feed_ends_a_trailer: refused(chunked("0\r\nX: y\nContent-Length: 9\r\n\r\n")).ours_alone();
    a_line_feed_ends_the_trailers: refused(chunked(&format!("0\r\n\n{SMUGGLED}"))).ours_alone();
    a_carriage_return_in_a_trailer: refused(chunked("0\r\nX: y\rz\r\n\r\n"));
    a_nul_in_a_trailer: refused(chunked("0\r\nX: \0\r\n\r\n")).ours_alone();
    a_trailer_without_a_colon: refused(chunked("0\r\nnothing\r\n\r\n")).ours_alone();
    a_trailer_with_a_space_before_the_colon: refused(chunked("0\r\nX : y\r\n\r\n")).ours_alone();
    a_folded_trailer: refused(chunked("0\r\nX: y\r\n z\r\n\r\n")).ours_alone();
    trailers_without_end: refused(chunked(&format!("0\r\n{}", "X: yyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(10_000)))).ours_alone();
    trailers_that_frame_or_route_are_dropped: served(post(
        "Transfer-Encoding: chunked\r\nTrailer: X-Sum, Content-Length, Host, Authorization, X-Forwarded-For\r\n",
        "4\r\nbody\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: evil\r\nAuthorization: x\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX_Sum: 8\r\n\r\n",
    ), ["POST /a"]).and(|o| assert_eq!(o.request().trailers, [("x-sum".to_owned(), "7".to_owned())])).ours_alone();

    // What follows a request is a request of its own, by this parser alone.
    pipelined_requests_in_order: served(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        ["GET /1", "GET /2", "GET /3"],
    ).and(|o| assert_eq!(o.answers.iter().map(|a| a.text()).collect::<Vec<_>>(), ["/1", "/2", "/3"]));
    twenty_pipelined_requests: served(
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20), ["GET /x"; 20]
    );
    a_pipelined_request_after_a_body: served(
        format!("{}GET /b HTTP/1.1\r\nHost: a\r\n\r\n", post("Content-Length: 4\r\n", "body")), ["POST /a", "GET /b"]
    );
    a_pipelined_request_after_chunks: served(
        format!("{}GET /b HTTP/1.1\r\nHost: a\r\n\r\n", chunked("4\r\nbody\r\n0\r\n\r\n")), ["POST /a", "GET /b"]
    );
    a_get_with_a_body: served(
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /a"]
    ).and(|o| assert_eq!(o.request().text(), SMUGGLED));
    a_get_with_chunks: served(
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        ["GET /a", "GET /b"],
    );
    garbage_after_a_request: refused("GET /a HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02\x03\r\n\r\n").after(1);
    nothing_after_connection_close: served(
        format!("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{SMUGGLED}"), ["GET /a"]
    );
    an_upgrade_that_is_not_made_leaves_http: served(
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        ["GET /a", "GET /b"],
    );
    connect_makes_no_tunnel: refused(format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n{SMUGGLED}"))
        .by(&[400, 405]);

    // Lines of a head.
    a_folded_header: refused(header("X: a\r\n b"));
    a_folded_header_with_a_tab: refused(header("X: a\r\n\tb"));
    a_first_header_that_begins_with_a_space: refused("GET /a HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n");
    a_space_before_the_colon: refused(header("X : a"));
    a_tab_before_the_colon: refused(header("X\t: a"));
    an_empty_name: refused(header(": a"));
    a_header_without_a_colon: refused(header("X")).ours_alone();
    a_nul_in_a_value: refused(header("X: a\0b"));
    a_nul_in_a_name: refused(header("X\0: a"));
    a_carriage_return_in_a_value: refused(header("X: a\rb"));
    a_carriage_return_before_the_end: refused(header("X: a\r")).ours_alone();
    a_control_byte_in_a_value: refused(header("X: a\x01b")).ours_alone();
    a_delete_byte_in_a_value: refused(header("X: a\x7fb")).ours_alone();
    a_quote_in_a_name: refused(header("X\"Y: a")).ours_alone();
    a_bracket_in_a_name: refused(header("X(Y): a")).ours_alone();
    a_byte_above_ascii_in_a_name: refused(header("X\u{e9}: a")).ours_alone();
    a_carriage_return_for_a_line_end: refused("GET /a HTTP/1.1\rHost: a\r\r\n\r\n");
    too_many_headers: refused(header(&"X: y\r\n".repeat(200))).by(&[400, 431]).ours_alone();
    too_long_a_header: refused(header(&format!("X: {}", "y".repeat(60_000)))).by(&[400, 431]);
    line_feeds_alone_in_a_head_are_made_crlf: served("GET /a HTTP/1.1\nHost: a\nX: y\n\n", ["GET /a"])
        .and(|o| assert_eq!(o.request().all("x"), ["y"]));
    empty_lines_before_a_request: served("\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /a"]);
    bytes_above_ascii_in_a_value: served("GET /a HTTP/1.1\r\nHost: a\r\nX: \u{fc}\r\n\r\n", ["GET /a"]);
    an_empty_value: served("GET /a HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", ["GET /a"])
        .and(|o| assert_eq!(o.request().all("x"), [""]));

    // Request lines.
    http_0_9: refused("GET /a\r\n\r\n").ours_alone();
    http_0_9_in_full: refused(line("GET /a HTTP/0.9"));
    http_1_2: refused(line("GET /a HTTP/1.2")).by(&[400, 505]).ours_alone();
    http_2_0: refused(line("GET /a HTTP/2.0")).by(&[400, 505]);
    http_1_10: refused(line("GET /a HTTP/1.10")).by(&[400, 505]).ours_alone();
    http_1_without_a_minor: refused(line("GET /a HTTP/1")).by(&[400, 505]);
    http_in_lower_case: refused(line("GET /a http/1.1"));
    another_protocol: refused(line("GET /a FTP/1.1"));
    a_method_in_lower_case: refused(line("get /a HTTP/1.1"));
    a_method_in_mixed_case: refused(line("Get /a HTTP/1.1"));
    a_method_with_a_bracket: refused(line("GE(T /a HTTP/1.1"));
    two_spaces_before_the_target: refused(line("GET  /a HTTP/1.1")).ours_alone();
    two_spaces_before_the_version: refused(line("GET /a  HTTP/1.1")).ours_alone();
    a_tab_for_a_space: refused(line("GET\t/a\tHTTP/1.1"));
    a_space_at_the_end_of_the_line: refused(line("GET /a HTTP/1.1 ")).ours_alone();
    a_space_in_front_of_the_method: refused(line(" GET /a HTTP/1.1"));
    a_space_in_the_target: refused(line("GET /a b HTTP/1.1"));
    a_carriage_return_in_the_line: refused(line("GET /a\rb HTTP/1.1"));
    no_target: refused(line("GET HTTP/1.1"));
    only_a_method: refused("GET\r\n\r\n");
    bytes_of_tls: refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec());
}
