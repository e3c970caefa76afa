//! TLS to clients and to upstreams.
#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Response;
use rustls::HandshakeKind;
use shop_gateway::{
    ClientAuth, Gateway, GatewayConfig, GatewayPlan, Server, ServerHandle, TlsConfig, TlsVersion,
    UpstreamTlsConfig,
};
use support::{PATIENCE, Upstream, Wire, config_for, millis};
use tls::{Authority, Files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::service_fn;

fn listening(mut config: GatewayConfig, section: TlsConfig) -> GatewayConfig {
    let mut entry: shop_gateway::ListenerConfig = "127.0.0.1:0".parse().unwrap();
    entry.tls = Some("public".to_owned());
    config.gateway.listen = vec![entry];
    config.gateway.tls.insert("public".to_owned(), section);
    config.gateway.workers = 2;
    config
}

/// Two workers that answer every request with the scheme they were told, and the client's address.
fn start(mut config: GatewayConfig) -> (GatewayPlan, ServerHandle, SocketAddr) {
    config.upstreams.clear();
    let told = service_fn(|req: http::Request<shop_gateway::RequestBody>| async move {
        let header = |name: &str| req.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let told = [header("x-forwarded-proto"), header("x-forwarded-for")].map(Option::unwrap_or_default);
        Ok::<_, std::convert::Infallible>(Response::new(told.join(" ")))
    });
    run(Gateway::builder(config).service("up", told).plan().unwrap())
}

fn run(plan: GatewayPlan) -> (GatewayPlan, ServerHandle, SocketAddr) {
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    let addr = handle.local_addrs()[0];
    (plan, handle, addr)
}

fn section(files: &Files) -> TlsConfig {
    TlsConfig { certificates: vec![files.config(&[])], ..TlsConfig::default() }
}

#[tokio::test]
async fn the_certificate_is_the_one_of_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let (one, below) =
        (authority.server("one", &["one.example"]), authority.server("below", &["*.two.example"]));
    let named = TlsConfig {
        certificates: vec![one.config(&["One.example"]), below.config(&["*.two.example"])],
        ..TlsConfig::default()
    };
    let (_plan, _handle, addr) = start(listening(config_for("unused:1"), named.clone()));
    let client = authority.trusting();
    let (answer, shown) = client.clone().named("one.example").get(addr, "/").await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"https 127.0.0.1"[..]));
    assert_eq!(shown, one.der());
    assert_eq!(client.clone().named("x.TWO.example").get(addr, "/").await.unwrap().1, below.der());
    for stranger in ["two.example", "a.b.two.example", "three.example", "127.0.0.1"] {
        let e = client.clone().named(stranger).connect(addr).await.unwrap_err();
        assert!(e.to_string().contains("fatal alert"), "{stranger}: {e}");
    }
    // Another for all the rest.
    let rest = authority.server("rest", &["three.example", "127.0.0.1"]);
    let mut more = named;
    more.certificates.push(rest.config(&[]));
    let (_plan, _handle, addr) = start(listening(config_for("unused:1"), more));
    for stranger in ["three.example", "127.0.0.1"] {
        assert_eq!(client.clone().named(stranger).get(addr, "/").await.unwrap().1, rest.der());
    }
    assert_eq!(client.named("one.example").get(addr, "/").await.unwrap().1, one.der());
}

#[tokio::test]
async fn clients_show_certificates_where_they_must() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let server = authority.server("server", &["shop.example"]);
    let clients = Authority::new();
    for (auth, none, bad) in [(ClientAuth::Required, false, false), (ClientAuth::Optional, true, false)] {
        let section =
            TlsConfig { client_auth: auth, client_ca: Some(clients.ca.clone()), ..section(&server) };
        let (_plan, _handle, addr) = start(listening(config_for("unused:1"), section));
        for (own, expected) in [
            (None, none),
            (Some(clients.client("good", false)), true),
            (Some(clients.client("expired", true)), bad),
            (Some(strangers.client("stranger", false)), bad),
            // A server's certificate is none of a client's, but names no use either.
            (Some(authority.server("other", &["other"])), bad),
        ] {
            for only_1_2 in [true, false] {
                let client = tls::Client { own: own.clone(), only_1_2, ..authority.trusting() };
                let outcome = client.get(addr, "/").await;
                assert_eq!(outcome.is_ok(), expected, "{auth:?} {own:?} {only_1_2}: {:?}", outcome.err());
            }
        }
    }
}

/// A session that is taken up again skips the verification; it saves those who show nothing a handshake.
#[tokio::test]
async fn sessions_are_taken_up_again_only_where_no_certificate_is_asked_for() {
    let authority = Authority::new();
    let open = section(&authority.server("server", &["shop.example"]));
    let asking = TlsConfig {
        client_auth: ClientAuth::Optional,
        client_ca: Some(authority.ca.clone()),
        ..open.clone()
    };
    for (section, kind) in [(open, HandshakeKind::Resumed), (asking, HandshakeKind::Full)] {
        let (_plan, _handle, addr) = start(listening(config_for("unused:1"), section));
        for only_1_2 in [true, false] {
            let own = Some(authority.client("client", false));
            let config = Arc::new(tls::Client { own, only_1_2, ..authority.trusting() }.config());
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let stream = TcpStream::connect(addr).await.unwrap();
                let name = "shop.example".try_into().unwrap();
                let mut client = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
                kinds.push(client.get_ref().1.handshake_kind());
                client
                    .write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")
                    .await
                    .unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
            assert_eq!(kinds, [Some(HandshakeKind::Full), Some(kind)], "{only_1_2}");
        }
    }
}

#[tokio::test]
async fn older_versions_are_refused() {
    let authority = Authority::new();
    let section = TlsConfig {
        min_version: TlsVersion::V1_3,
        ..section(&authority.server("server", &["shop.example"]))
    };
    let (_plan, _handle, addr) = start(listening(config_for("unused:1"), section));
    let client = authority.trusting();
    assert!(client.get(addr, "/").await.is_ok());
    let old = tls::Client { only_1_2: true, ..client };
    assert!(old.connect(addr).await.unwrap_err().to_string().contains("fatal alert"));
    // And what is no TLS at all gets no HTTP.
    let mut plain = Wire::connect(addr).await;
    plain.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut got = Vec::new();
    tokio::time::timeout(PATIENCE, plain.stream.read_to_end(&mut got)).await.unwrap().unwrap();
    assert!(!got.starts_with(b"HTTP"), "{got:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_without_a_failed_connection() {
    let authority = Authority::new();
    let (plan, handle, addr) =
        start(listening(config_for("unused:1"), section(&authority.server("server", &["shop.example"]))));
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // One connection lives through all of it.
    let mut old = authority.trusting().connect(addr).await.unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop, served) = (authority.trusting(), stop.clone(), served.clone());
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    let (answer, _) = client.get(addr, "/").await.expect("a connection failed");
                    assert_eq!(answer.status(), 200);
                    served.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut last = None;
    for round in 0..20 {
        last = Some(authority.server("server", &["shop.example"]));
        plan.reload_tls().unwrap();
        while served.load(SeqCst) < round * 5 {
            assert!(!clients.iter().any(tokio::task::JoinHandle::is_finished), "a connection failed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(authority.trusting().get(addr, "/").await.unwrap().1, last.clone().unwrap().der());
    // A file that is bad changes nothing, and says what and where.
    let last = last.unwrap();
    std::fs::write(&last.chain, "nonsense").unwrap();
    let faults = plan.reload_tls().unwrap_err();
    assert_eq!(faults.faults()[0].path, "gateway.tls.public.certificates[0].chain");
    assert!(authority.trusting().get(addr, "/").await.is_ok());
    old.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stop.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(handle.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn files_that_change_are_noticed() {
    let authority = Authority::new();
    let first = authority.server("server", &["shop.example"]);
    let shown = first.der();
    let (_plan, _handle, addr) = start(listening(config_for("unused:1"), section(&first)));
    assert_eq!(authority.trusting().get(addr, "/").await.unwrap().1, shown);
    let second = authority.server("server", &["shop.example"]);
    assert_ne!(second.der(), shown);
    authority.trusting().until_shown(addr, &second).await;
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let authority = Authority::new();
    let mut config =
        listening(config_for("unused:1"), section(&authority.server("server", &["shop.example"])));
    config.gateway.limits.header_timeout = millis(3000);
    let (_plan, handle, addr) = start(config.clone());
    let mut slow = Vec::new();
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = Wire::connect(addr).await;
        client.send(begun).await;
        slow.push(client);
    }
    for mut client in slow {
        assert!(client.is_closed().await);
    }
    assert!(authority.trusting().get(addr, "/").await.is_ok());
    assert!(handle.shutdown(PATIENCE).await);
    // At the server's end those that say nothing are not waited for.
    config.gateway.limits.header_timeout = millis(3_600_000);
    let (_plan, handle, addr) = start(config);
    let mut silent = Wire::connect(addr).await;
    assert!(authority.trusting().get(addr, "/").await.is_ok(), "it was accepted, too");
    assert!(handle.shutdown(PATIENCE).await);
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn a_connection_at_rest_ends_with_the_server_and_says_so() {
    let authority = Authority::new();
    let (_plan, handle, addr) =
        start(listening(config_for("unused:1"), section(&authority.server("server", &["shop.example"]))));
    let mut client = authority.trusting().connect(addr).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let n = client.read(&mut answer).await.unwrap();
    assert!(answer[..n].starts_with(b"HTTP/1.1 200 "));
    assert!(handle.shutdown(PATIENCE).await);
    // A clean end: without close_notify this would be an error.
    while client.read(&mut answer).await.unwrap() > 0 {}
}

#[tokio::test]
async fn a_web_socket_passes_inside_tls() {
    let authority = Authority::new();
    let (addr, mut connections) = Upstream::by_hand().await;
    let config = listening(config_for(addr), section(&authority.server("server", &["shop.example"])));
    let (_plan, _handle, addr) = run(Gateway::builder(config).plan().unwrap());
    let mut client = authority.trusting().connect(addr).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let mut up = connections.recv().await.unwrap();
    let head = up.head().await.unwrap();
    assert!(head.contains("x-forwarded-proto: https\r\n"), "{head}");
    up.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
        .await;
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\nhello") {
        let mut part = [0; 1024];
        let n = tokio::time::timeout(PATIENCE, client.read(&mut part)).await.unwrap().unwrap();
        assert!(n > 0);
        got.extend_from_slice(&part[..n]);
    }
    client.write_all(b"back").await.unwrap();
    assert_eq!(up.exactly(4).await.unwrap(), b"back");
}

/// Two gateways in a row: the inner one is the upstream, wants a certificate, and says what it was told.
#[tokio::test]
async fn an_upstream_is_verified_and_verifies() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let inner = TlsConfig {
        client_auth: ClientAuth::Required,
        client_ca: Some(authority.ca.clone()),
        ..section(&authority.server("inner", &["inner.example", "127.0.0.1"]))
    };
    let (_inner_plan, _inner, inner) = start(listening(config_for("unused:1"), inner));
    let own = authority.client("own", false);
    let good = UpstreamTlsConfig {
        ca: Some(authority.ca.clone()),
        server_name: None,
        chain: Some(own.chain.clone()),
        key: Some(own.key.clone()),
    };
    let expired = authority.client("expired", true);
    for (section, status) in [
        (good.clone(), 200),
        (UpstreamTlsConfig { server_name: Some("inner.example".to_owned()), ..good.clone() }, 200),
        (UpstreamTlsConfig { server_name: Some("other.example".to_owned()), ..good.clone() }, 502),
        (UpstreamTlsConfig { ca: Some(strangers.ca.clone()), ..good.clone() }, 502),
        (UpstreamTlsConfig { chain: None, key: None, ..good.clone() }, 502),
        (UpstreamTlsConfig { chain: Some(expired.chain), key: Some(expired.key), ..good.clone() }, 502),
    ] {
        let mut config = config_for(inner);
        config.upstreams.get_mut("up").unwrap().tls = Some(section.clone());
        let running = support::Running::start(config).await;
        let mut client = running.client().await;
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!(answer.status(), status, "{section:?}");
            if status == 200 {
                assert_eq!(answer.text(), "https 127.0.0.1", "told by the outer one's connection");
            }
        }
        assert_eq!(running.gateway.idle_connections(), usize::from(status == 200), "it is used again");
    }
    // An upstream that speaks no TLS.
    let plain = Upstream::echo().await;
    let mut config = config_for(plain.addr);
    config.upstreams.get_mut("up").unwrap().tls = Some(good);
    config.upstreams.get_mut("up").unwrap().connect_timeout = millis(500);
    let running = support::Running::start(config).await;
    assert!(matches!(running.client().await.get("/").await.status(), 502 | 504));
    assert!(plain.seen().is_empty());
}

#[test]
fn files_that_are_bad_are_told_with_their_places() {
    let authority = Authority::new();
    let (one, two) = (authority.server("one", &["one"]), authority.server("two", &["two"]));
    let nothing = authority.dir.path().join("nothing.pem");
    std::fs::write(&nothing, "").unwrap();
    let crossed = shop_gateway::CertificateConfig { key: two.key.clone(), ..one.config(&["one"]) };
    let empty = shop_gateway::CertificateConfig { chain: nothing.clone(), ..two.config(&["two"]) };
    let missing = shop_gateway::CertificateConfig { key: Path::new("/nowhere").into(), ..two.config(&[]) };
    let section = TlsConfig {
        certificates: vec![crossed, empty, missing],
        client_auth: ClientAuth::Optional,
        client_ca: Some(nothing.clone()),
        ..TlsConfig::default()
    };
    let mut config = listening(config_for("a:1"), section);
    config.upstreams.get_mut("up").unwrap().tls =
        Some(UpstreamTlsConfig { ca: Some(nothing), ..UpstreamTlsConfig::default() });
    let errors = Gateway::builder(config).plan().unwrap_err();
    let paths: Vec<_> = errors.faults().iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "gateway.tls.public.certificates[0].key",
            "gateway.tls.public.certificates[1].chain",
            "gateway.tls.public.certificates[2].key",
            "gateway.tls.public.client_ca",
            "upstreams.up.tls.ca",
        ]
    );
}

#[test]
fn sections_that_make_no_sense_are_told_with_their_places() {
    let config: GatewayConfig = toml::from_str(
        r#"
        [gateway]
        listen = [
            { address = "127.0.0.1:1", tls = "nobody" },
            { address = "127.0.0.1:1", proxy_protocol_from = ["10.0.0.0/8", "10.0.0.1", "ten", "unix"] },
            { address = "unix:/x", proxy_protocol_from = ["unix", "::/0"] },
        ]
        [gateway.tls.empty]
        [gateway.tls.bad]
        certificates = [
            { chain = "a", key = "a" },
            { chain = "a", key = "a" },
            { names = ["a.example", "A.example", "*", "a..b"], chain = "a", key = "a" },
        ]
        min_version = "1.3"
        client_auth = "required"
        [gateway.tls.unasked]
        certificates = [{ chain = "a", key = "a" }]
        client_ca = "a"
        [upstreams.up]
        endpoints = ["unix:/x"]
        tls = { chain = "a" }
        "#,
    )
    .unwrap();
    let errors = config.validate().unwrap_err();
    let mut paths: Vec<_> = errors.faults().iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "gateway.listen[0].tls",
            "gateway.listen[1]",
            "gateway.listen[1].proxy_protocol_from[2]",
            "gateway.listen[1].proxy_protocol_from[3]",
            "gateway.listen[2].proxy_protocol_from[1]",
            "gateway.tls.bad.certificates[1]",
            "gateway.tls.bad.certificates[2].names",
            "gateway.tls.bad.certificates[2].names",
            "gateway.tls.bad.certificates[2].names",
            "gateway.tls.bad.client_ca",
            "gateway.tls.empty.certificates",
            "gateway.tls.unasked.client_ca",
            "upstreams.up.tls",
            "upstreams.up.tls.server_name",
        ]
    );
    let written: GatewayConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(written, config);
    for text in [
        "[gateway.tls.a]\nmin_version = \"1.1\"",
        "[gateway.tls.a]\ntypo = 1",
        "[gateway]\nlisten = [{ address = \"127.0.0.1:1\", typo = 1 }]",
        "[gateway]\nlisten = [\"unix:x\"]",
        "[upstreams.a]\ntls = { typo = 1 }",
    ] {
        assert!(toml::from_str::<GatewayConfig>(text).is_err(), "{text}");
    }
}

fn v2(client: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(client) = client else { panic!("version 4 only") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client.ip().octets());
    header.extend([10, 0, 0, 1]);
    header.extend(client.port().to_be_bytes());
    header.extend(80u16.to_be_bytes());
    header
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let authority = Authority::new();
    let ask = "GET / HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 6.6.6.6\r\n\r\n";
    let start = |from: &str, tls: bool| {
        let mut config =
            listening(config_for("unused:1"), section(&authority.server("server", &["shop.example"])));
        config.gateway.listen[0].proxy_protocol_from = vec![from.to_owned()];
        config.gateway.limits.header_timeout = millis(3000);
        if !tls {
            config.gateway.listen[0].tls = None;
        }
        start(config)
    };
    let (_plan, _handle, addr) = start("127.0.0.0/8", false);
    let headers =
        [b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n".to_vec(), v2("192.0.2.7:4711".parse().unwrap())];
    for header in &headers {
        // At once, and a byte at a time.
        let mut client = Wire::connect(addr).await;
        client.send([header, ask.as_bytes()].concat()).await;
        assert_eq!(client.response().await.text(), "http 192.0.2.7");
        assert_eq!(client.ask(ask).await.text(), "http 192.0.2.7");
        let mut slow = Wire::connect(addr).await;
        for byte in header {
            slow.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(slow.ask(ask).await.text(), "http 192.0.2.7");
    }
    // Without one it is not believed to be the proxy, nor with one that never ends.
    for begun in [ask, "PROXY nonsense\r\n", "PROXY TCP4 192.0.2.7"] {
        let mut client = Wire::connect(addr).await;
        client.send(begun).await;
        assert!(client.is_closed().await, "{begun}");
    }
    // Nobody else may say it.
    let (_plan, _handle, addr) = start("192.0.2.1", false);
    let mut client = Wire::connect(addr).await;
    client.send([&headers[0], ask.as_bytes()].concat()).await;
    assert_eq!(client.response().await.status(), 400);
    assert_eq!(Wire::connect(addr).await.ask(ask).await.text(), "http 127.0.0.1");
    // Before TLS.
    let (_plan, _handle, addr) = start("127.0.0.1", true);
    for header in &headers {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(header).await.unwrap();
        let mut client = authority.trusting().handshake(stream).await.unwrap();
        client.write_all(ask.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"https 192.0.2.7") {
            let mut part = [0; 1024];
            let n = tokio::time::timeout(PATIENCE, client.read(&mut part)).await.unwrap().unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&part[..n]);
        }
    }
}

#[tokio::test]
async fn a_unix_socket_is_listened_on_and_tidied_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    let mut config = config_for("unused:1");
    config.gateway.listen =
        vec![format!("unix:{}", path.display()).parse().unwrap(), "127.0.0.1:0".parse().unwrap()];
    config.gateway.workers = 2;
    // One that nobody listens on any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (_plan, handle, tcp) = start(config.clone());
    assert_eq!(handle.local_addrs().len(), 1, "a path is no address");
    let ask = async |path: &Path| {
        let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    for _ in 0..10 {
        let answer = ask(&path).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhttp "), "{answer}");
    }
    assert_eq!(Wire::connect(tcp).await.get("/").await.text(), "http 127.0.0.1");
    let taken = Server::bind(&config.gateway).unwrap_err();
    assert!(taken.to_string().contains("gateway.sock"), "{taken}");
    assert!(handle.shutdown(PATIENCE).await);
    assert!(!path.exists(), "the socket's file is left");
    // A proxy in front of it.
    config.gateway.listen[0].proxy_protocol_from = vec!["unix".to_owned()];
    let (_plan, handle, _) = start(config);
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(&v2("192.0.2.7:4711".parse().unwrap())).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with("\r\n\r\nhttp 192.0.2.7"), "{answer}");
    // Another has taken the place: its file stays.
    std::fs::remove_file(&path).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(handle);
    assert!(path.exists());
}
