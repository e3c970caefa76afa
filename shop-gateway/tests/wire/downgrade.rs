//! From HTTP/2 to HTTP/1.1: what the frames of one can say and the lines of the other cannot is refused.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Front, block_on};
use crate::strict::{Seen, Strict, Upstream};
use crate::support::{PATIENCE, config_for};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

type Field = (&'static [u8], &'static [u8]);

const GET: [Field; 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"a")];

/// A request of HTTP/2, as it is framed.
struct Request {
    fields: Vec<Field>,
    /// Frames of its body, before the one that ends it.
    body: Vec<&'static [u8]>,
    trailers: Option<Vec<Field>>,
}

/// A GET, and these after its own fields.
fn with(fields: &[Field]) -> Request {
    Request { fields: [&GET[..], fields].concat(), body: Vec::new(), trailers: None }
}

/// A GET with one of its own fields another.
fn but(name: &'static [u8], value: &'static [u8]) -> Request {
    let fields = GET.iter().map(|field| if field.0 == name { (name, value) } else { *field }).collect();
    Request { fields, body: Vec::new(), trailers: None }
}

fn without(name: &[u8]) -> Request {
    Request {
        fields: GET.iter().filter(|field| field.0 != name).copied().collect(),
        body: Vec::new(),
        trailers: None,
    }
}

impl Request {
    fn body(mut self, body: &'static [u8]) -> Self {
        self.body.push(body);
        self
    }

    fn trailers(mut self, trailers: &[Field]) -> Self {
        self.trailers = Some(trailers.to_vec());
        self
    }

    fn frames(&self) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        let ends = self.body.is_empty() && self.trailers.is_none();
        bytes.extend(frame(HEADERS, END_HEADERS | u8::from(ends), 1, &block(&self.fields)));
        for (at, piece) in self.body.iter().enumerate() {
            let last = at + 1 == self.body.len() && self.trailers.is_none();
            bytes.extend(frame(DATA, u8::from(last), 1, piece));
        }
        if let Some(trailers) = &self.trailers {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
        }
        bytes
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Each field as a literal, by no table (RFC 7541, 6.2.2).
fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        assert!(name.len() < 127 && value.len() < 127);
        block.extend([0, name.len() as u8]);
        block.extend(*name);
        block.push(value.len() as u8);
        block.extend(*value);
    }
    block
}

/// Whether the answer is 200, rather than another or none. That is a field of the table (RFC 7541, A).
async fn is_answered(stream: &mut TcpStream) -> bool {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return false;
        }
        match head[3] {
            HEADERS => return payload.first() == Some(&0x88),
            RST_STREAM | GOAWAY => return false,
            _ => {}
        }
    }
}

async fn play(request: Request) -> (bool, Seen) {
    let upstream = Upstream::start().await;
    let front = Front::start(config_for(upstream.addr)).await;
    let mut stream = front.connect().await;
    stream.write_all(&request.frames()).await.unwrap();
    let answered = tokio::time::timeout(PATIENCE, is_answered(&mut stream)).await.expect("no answer came");
    drop((stream, front));
    (answered, upstream.finish().await)
}

/// Nothing of it is forwarded.
fn refused(request: Request) {
    let (answered, seen) = block_on(play(request));
    assert!(seen.faults.is_empty() && seen.served.is_empty() && !answered, "{answered} {seen:#?}");
}

/// It is forwarded, as what the check finds.
fn served(request: Request, check: fn(&Strict)) {
    let (answered, seen) = block_on(play(request));
    assert!(seen.faults.is_empty() && seen.served.len() == 1 && answered, "{answered} {seen:#?}");
    check(&seen.served[0]);
}

macro_rules! frames {
    ($($name:ident: $judge:ident($($argument:expr),+);)*) => {
        $(
            #[test]
            fn $name() {
                $judge($($argument),+);
            }
        )*
    };
}

frames! {
    a_plain_request: served(with(&[]), |r| assert_eq!((&*r.start, r.all("host")), ("GET /a HTTP/1.1", vec!["a"])));
    a_body_by_frames_is_chunked: served(but(b":method", b"POST").body(b"bo").body(b"dy"), |r| {
        assert_eq!((&*r.text(), r.header("transfer-encoding")), ("body", Some("chunked")));
    });
    a_body_that_looks_like_chunks: served(but(b":method", b"POST").body(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"), |r| {
        assert_eq!(r.text(), "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
    });
    te_trailers_passes: served(with(&[(b"te", b"trailers")]), |r| assert_eq!(r.all("te"), ["trailers"]));
    the_authority_is_the_host: served(with(&[(b"host", b"other")]), |r| assert_eq!(r.all("host"), ["a"]));
    a_host_for_an_authority: served(
        Request { fields: [&without(b":authority").fields[..], &[(b"host", b"a")]].concat(), ..with(&[]) },
        |r| assert_eq!(r.all("host"), ["a"])
    );
    underscores_of_frames_are_dropped: served(with(&[(b"x_user", b"root")]), |r| assert!(r.header("x_user").is_none()));
    who_the_client_is_says_the_gateway: served(with(&[(b"x-forwarded-for", b"6.6.6.6")]), |r| {
        assert_eq!(r.all("x-forwarded-for"), ["127.0.0.1"]);
    });
    trailers_of_frames_that_frame_are_dropped: served(
        Request { fields: [&but(b":method", b"POST").fields[..], &[(b"trailer", b"x-sum, content-length")]].concat(), ..with(&[]) }
            .body(b"body").trailers(&[(b"x-sum", b"7"), (b"content-length", b"9")]),
        |r| assert_eq!(r.trailers, [("x-sum".to_owned(), "7".to_owned())])
    );

    a_value_with_crlf: refused(with(&[(b"x", b"y\r\ntransfer-encoding: chunked")]));
    a_value_with_a_line_feed: refused(with(&[(b"x", b"y\nz: 1")]));
    a_value_with_a_carriage_return: refused(with(&[(b"x", b"y\rz: 1")]));
    a_value_with_a_nul: refused(with(&[(b"x", b"y\0z")]));
    a_name_with_crlf: refused(with(&[(b"x: y\r\ntransfer-encoding", b"chunked")]));
    a_name_with_a_colon: refused(with(&[(b"transfer-encoding:chunked\r\nx", b"y")]));
    a_name_with_a_colon_alone: refused(with(&[(b"x:y", b"z")]));
    a_name_with_a_space: refused(with(&[(b"x y", b"z")]));
    a_name_in_capitals: refused(with(&[(b"X", b"y")]));
    a_name_that_is_empty: refused(with(&[(b"", b"y")]));
    a_name_with_a_nul: refused(with(&[(b"x\0", b"y")]));

    a_path_with_crlf: refused(but(b":path", b"/a HTTP/1.1\r\nx: y\r\n\r\nGET /smuggled"));
    a_path_with_a_space: refused(but(b":path", b"/a HTTP/1.1"));
    a_path_with_a_nul: refused(but(b":path", b"/a\0"));
    a_path_that_is_empty: refused(but(b":path", b""));
    a_path_that_is_a_star: refused(but(b":path", b"*"));
    two_paths: refused(with(&[(b":path", b"/b")]));
    no_path: refused(without(b":path"));
    a_method_with_crlf: refused(but(b":method", b"GET / HTTP/1.1\r\nx: y\r\n\r\nGET"));
    a_method_with_a_space: refused(but(b":method", b"GET /b"));
    a_method_of_frames_in_lower_case: refused(but(b":method", b"get"));
    two_methods: refused(with(&[(b":method", b"POST")]));
    no_method: refused(without(b":method"));
    no_authority_and_no_host: refused(without(b":authority"));
    an_authority_with_crlf: refused(but(b":authority", b"a\r\nx: y"));
    an_authority_with_a_path: refused(but(b":authority", b"a/b"));
    an_authority_with_a_user: refused(but(b":authority", b"u@a"));
    two_authorities: refused(with(&[(b":authority", b"b")]));
    two_hosts_in_frames: refused(with(&[(b"host", b"a"), (b"host", b"b")]));
    a_scheme_with_crlf: refused(but(b":scheme", b"http://x/\r\n"));
    an_unknown_pseudo_field: refused(with(&[(b":x", b"y")]));
    a_status_in_a_request: refused(with(&[(b":status", b"200")]));
    a_pseudo_field_after_others: refused(
        Request { fields: [&[(&b"x"[..], &b"y"[..])], &GET[..]].concat(), ..with(&[]) }
    );
    connect_in_frames: refused(Request { fields: vec![(b":method", b"CONNECT"), (b":authority", b"a:80")], ..with(&[]) });

    transfer_encoding_in_frames: refused(with(&[(b"transfer-encoding", b"chunked")]).body(b"0\r\n\r\n"));
    connection_in_frames: refused(with(&[(b"connection", b"close")]));
    keep_alive_in_frames: refused(with(&[(b"keep-alive", b"timeout=5")]));
    proxy_connection_in_frames: refused(with(&[(b"proxy-connection", b"close")]));
    upgrade_in_frames: refused(with(&[(b"upgrade", b"websocket")]));
    te_other_than_trailers_in_frames: refused(with(&[(b"te", b"gzip")]));
    a_length_shorter_than_the_frames: refused(with(&[(b"content-length", b"1")]).body(b"body"));
    a_length_longer_than_the_frames: refused(with(&[(b"content-length", b"5")]).body(b"body"));
    a_length_without_a_body: refused(with(&[(b"content-length", b"5")]));
    two_lengths_in_frames: refused(with(&[(b"content-length", b"4"), (b"content-length", b"4")]).body(b"body"));
    a_length_in_frames_with_a_plus: refused(with(&[(b"content-length", b"+4")]).body(b"body"));
    // h2 forgives it, and leaves nothing of it.
    a_pseudo_field_in_trailers_goes_no_further: served(
        but(b":method", b"POST").body(b"body").trailers(&[(b":path", b"/b")]),
        |r| assert_eq!((&*r.start, &*r.text(), r.trailers.len()), ("POST /a HTTP/1.1", "body", 0))
    );
}
