//! The REST client against a real server, and against servers that misbehave.
#![cfg(all(feature = "http", feature = "client"))]
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;
use shop_core::http::{App, Body, CancellationToken, Request, Response, Router, Server, StatusCode, reply};
use shop_core::{Currency, ManualClock, Money, PageRequest, Problem, SystemClock, Timestamp};
use shop_products::client::{BreakerState, ClientFault, RestCatalog};
use shop_products::http::{ProductsHttpConfig, app};
use shop_products::store::memory::MemoryProductStore;
use shop_products::{
    CatalogError, HoldLine, HoldRequest, LineStatus, NewProduct, ProductCatalog, ProductDetails, ProductId,
    ProductRef, ProductService, ProductServiceConfig, ProductStatus, ReservationId, ReservationState,
    SettleAction, Settlement, ShrinkLine,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Running {
    base: String,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(app: App) -> Running {
    let server = Server::bind(([127, 0, 0, 1], 0).into(), app).await.unwrap();
    let (base, stop) = (format!("http://{}", server.local_addr()), CancellationToken::new());
    tokio::spawn(server.run(stop.clone()));
    Running { base, stop }
}

fn products() -> ProductService {
    let store = Arc::new(MemoryProductStore::new());
    ProductService::start(store, Arc::new(SystemClock), ProductServiceConfig::default())
}

async fn shop() -> (Running, ProductService, RestCatalog) {
    let service = products();
    let server = serve(app(service.clone(), ProductsHttpConfig::default())).await;
    let catalog = RestCatalog::builder(&server.base).build().unwrap();
    (server, service, catalog)
}

async fn product(service: &ProductService, sku: &str, on_hand: i64) -> ProductId {
    let details = ProductDetails {
        sku: sku.parse().unwrap(),
        name: format!("Product {sku}"),
        description: String::new(),
        price: Money::from_minor(1999, Currency::EUR),
        attributes: Default::default(),
        tags: Vec::new(),
        status: ProductStatus::Active,
    };
    service.create(NewProduct { details, on_hand }, None).await.unwrap().fresh().unwrap().id
}

fn line(sku: &str, quantity: i64) -> HoldLine {
    HoldLine { product: ProductRef::Sku(sku.parse().unwrap()), quantity }
}

fn hold(lines: Vec<HoldLine>) -> HoldRequest {
    HoldRequest { id: ReservationId::generate(), owner: Some("orders".into()), lines, expires_in: None }
}

fn settle(reservation_id: ReservationId, action: SettleAction) -> Settlement {
    Settlement { reservation_id, action }
}

fn fault(error: &CatalogError) -> &ClientFault {
    match error {
        CatalogError::Unavailable(source) | CatalogError::NotSent(source) => source.downcast_ref().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_of_the_port_goes_over_the_wire() {
    let (_server, service, catalog) = shop().await;
    let (one, two) = (product(&service, "A", 10).await, product(&service, "B", 1).await);

    let lines = [line("A", 3), HoldLine { product: ProductRef::Id(two), quantity: 2 }, line("nope", 1)];
    let check = catalog.check(&lines).await.unwrap();
    assert_eq!(
        check,
        service
            .check(&lines)
            .await
            .map(|now| shop_products::StockCheck { as_of: check.as_of, ..now })
            .unwrap()
    );
    assert_eq!(check.lines[2].status, LineStatus::Unknown);

    let request =
        HoldRequest { expires_in: Some(Duration::from_secs(60)), ..hold(vec![line("A", 3), line("B", 1)]) };
    let held = catalog.hold(&request).await.unwrap();
    assert_eq!(held, service.reservation(request.id).await.unwrap());
    assert_eq!(catalog.hold(&request).await.unwrap(), held, "the same again");

    let short = catalog.hold(&hold(vec![line("A", 8), line("B", 1)])).await.unwrap_err();
    assert!(
        matches!(&short, CatalogError::InsufficientStock(lines)
        if lines.len() == 2 && lines[0].product_id == one && lines[0].available == 7 && lines[1].available == 0),
        "{short:?}"
    );
    let unknown = catalog.hold(&hold(vec![line("A", 1), line("x", 1)])).await.unwrap_err();
    assert!(
        matches!(&unknown, CatalogError::UnknownProducts(lines) if lines.len() == 1 && lines[0].line == 1)
    );
    let other = HoldRequest { lines: vec![line("A", 1)], ..request.clone() };
    assert!(matches!(catalog.hold(&other).await, Err(CatalogError::OtherLines)));
    assert!(
        matches!(catalog.hold(&hold(vec![line("A", 0)])).await, Err(CatalogError::Invalid(text)) if text.contains("/lines/0/quantity"))
    );
    catalog.settle(&[settle(request.id, SettleAction::Release)]).await.unwrap();
    assert!(matches!(catalog.hold(&request).await, Err(CatalogError::Released(ReservationState::Released))));
    assert_eq!(catalog.breaker(), BreakerState::Closed, "refusals are answers");
}

#[tokio::test]
async fn settlements_keep_their_order_however_they_are_grouped() {
    let (_server, service, catalog) = shop().await;
    let one = product(&service, "A", 100).await;
    let requests: Vec<_> = (0..4).map(|_| hold(vec![line("A", 3)])).collect();
    for request in &requests {
        catalog.hold(request).await.unwrap();
    }
    let ids: Vec<_> = requests.iter().map(|request| request.id).collect();
    let never = ReservationId::generate();
    let shrink = SettleAction::Shrink(vec![ShrinkLine { product_id: one, quantity: 1 }]);
    let settlements = [
        settle(ids[0], SettleAction::Release),
        settle(ids[1], shrink),
        // In one grouped request this commit would come before the release of the same reservation.
        settle(ids[0], SettleAction::Commit),
        settle(ids[2], SettleAction::Fulfil),
        settle(never, SettleAction::Commit),
        settle(ids[3], SettleAction::Commit),
        settle(ids[3], SettleAction::Release),
    ];
    let states: Vec<_> = catalog
        .settle(&settlements)
        .await
        .unwrap()
        .into_iter()
        .map(|o| (o.reservation_id, o.state))
        .collect();
    use ReservationState::{Committed, Fulfilled, Held, Released};
    let expected = [
        (ids[0], Some(Released)),
        (ids[1], Some(Held)),
        (ids[0], Some(Released)),
        (ids[2], Some(Fulfilled)),
        (never, None),
        (ids[3], Some(Committed)),
        (ids[3], Some(Released)),
    ];
    assert_eq!(states, expected);
    let stock = service.get(&ProductRef::Id(one)).await.unwrap().stock;
    assert_eq!((stock.on_hand, stock.allocated), (97, 1));
    assert_eq!(catalog.settle(&[]).await.unwrap(), []);
    let many: Vec<_> = (0..2_500).map(|_| settle(ReservationId::generate(), SettleAction::Release)).collect();
    assert_eq!(catalog.settle(&many).await.unwrap().len(), 2_500);
}

#[tokio::test]
async fn held_reservations_come_in_pages_that_fit() {
    let (server, service, catalog) = shop().await;
    product(&service, "A", 100).await;
    for _ in 0..7 {
        catalog.hold(&hold(vec![line("A", 1)])).await.unwrap();
    }
    catalog
        .hold(&HoldRequest { owner: Some("carts & co".into()), ..hold(vec![line("A", 1)]) })
        .await
        .unwrap();
    let later = service.now().plus(Duration::from_secs(60));
    // About two reservations of some 350 bytes each.
    let narrow = RestCatalog::builder(format!("{}/", server.base)).max_response(1_000).build().unwrap();
    for catalog in [catalog, narrow] {
        let (mut found, mut page) = (Vec::new(), PageRequest::default());
        loop {
            let answer = catalog.held("orders", later, &page).await.unwrap();
            found.extend(answer.data.iter().map(|held| held.id));
            match answer.next_cursor {
                Some(cursor) => page.after = Some(cursor.decode().unwrap()),
                None => break,
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 7);
        assert_eq!(catalog.held("carts & co", later, &PageRequest::default()).await.unwrap().data.len(), 1);
        let none = catalog.held("orders", Timestamp::from_millis(0), &PageRequest::default()).await.unwrap();
        assert!(none.data.is_empty());
    }
}

/// A server by hand: each connection is given to `answer` with the request's text.
async fn by_hand(
    answer: impl Fn(usize, String) -> Vec<u8> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = seen.clone();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, requests) = (answer.clone(), requests.clone());
            tokio::spawn(async move {
                let mut text = String::new();
                let mut buffer = [0; 4096];
                while !text.contains("\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..n])),
                        _ => return,
                    }
                }
                let n = {
                    let mut requests = requests.lock().unwrap();
                    requests.push(text.clone());
                    requests.len()
                };
                let bytes = answer(n, text);
                if bytes.is_empty() {
                    // Never answers; the connection stays until the client gives up.
                    let _ = stream.read(&mut buffer).await;
                    return;
                }
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                // Let the client close first, so that what was written is not cut off.
                while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
            });
        }
    });
    (base, seen)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn quick(base: &str) -> shop_products::client::RestCatalogBuilder {
    RestCatalog::builder(base).backoff(Duration::ZERO)
}

#[tokio::test]
async fn what_gives_no_answer_is_asked_again_and_then_unavailable() {
    let check = json!({"available": true, "as_of": "2026-01-01T00:00:00.000Z", "lines": [
        {"product_id": null, "sku": "A", "requested": 1, "available": 1, "status": "ok"}
    ]})
    .to_string();
    let good = check.clone();
    let (base, seen) = by_hand(move |n, _| match n {
        1 => http("503 Service Unavailable", "{\"code\":\"unavailable\"}"),
        2 => b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"available\":true".to_vec(),
        _ => http("200 OK", &good),
    })
    .await;
    let catalog = quick(&base).build().unwrap();
    assert!(catalog.check(&[line("A", 1)]).await.unwrap().available);
    assert_eq!(seen.lock().unwrap().len(), 3, "a 503 and an answer that broke off are asked again");

    let (base, seen) = by_hand(|_, _| http("502 Bad Gateway", "<html>")).await;
    let error = quick(&base)
        .retries(4)
        .breaker(100, Duration::from_secs(5))
        .build()
        .unwrap()
        .check(&[line("A", 1)])
        .await;
    assert!(matches!(fault(&error.unwrap_err()), ClientFault::Status(502)));
    assert_eq!(seen.lock().unwrap().len(), 5, "bounded");

    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = quick(&format!("http://{unused}")).build().unwrap().check(&[line("A", 1)]).await.unwrap_err();
    assert!(matches!(fault(&error), ClientFault::Transport(_)) && error.is_unknown());
}

/// Fails at first, then breaks off, then answers.
#[derive(Clone)]
struct Fickle(App, Arc<Mutex<Vec<String>>>);

impl tower_service::Service<http::Request<Full<Bytes>>> for Fickle {
    type Response = Response;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Full<Bytes>>) -> Self::Future {
        let n = {
            let mut seen = self.1.lock().unwrap();
            seen.push(format!("{} {}", request.method(), request.uri()));
            seen.len()
        };
        let answer = self.0.call(request);
        Box::pin(async move {
            match n {
                1 => Err(std::io::Error::other("no line")),
                2 => {
                    let (sender, body) = Body::channel(2);
                    sender.send("{").await.unwrap();
                    sender.abort("the line broke").await;
                    Ok(http::Response::new(body))
                }
                _ => Ok(answer.await.unwrap()),
            }
        })
    }
}

#[tokio::test]
async fn a_transport_of_ones_own_carries_every_attempt() {
    let service = products();
    product(&service, "A", 1).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let fickle = Fickle(app(service, ProductsHttpConfig::default()), seen.clone());
    let catalog = quick("https://products/shop/").transport(fickle.clone());
    // Its prefix is not one that the app knows: the third attempt is answered, with 404.
    let error = catalog.build().unwrap().check(&[line("A", 1)]).await.unwrap_err();
    assert!(matches!(fault(&error), ClientFault::NotFound), "{error:?}");
    assert_eq!(*seen.lock().unwrap(), ["POST https://products/shop/v1/stock/check"; 3]);

    seen.lock().unwrap().clear();
    let once = quick("http://products").retries(0).transport(fickle).build().unwrap();
    for text in ["no line", "the line broke"] {
        let error = once.check(&[line("A", 1)]).await.unwrap_err();
        let ClientFault::Transport(source) = fault(&error) else { panic!("{error:?}") };
        assert_eq!(source.to_string(), text);
        assert!(error.is_unknown());
    }
    assert!(once.check(&[line("A", 1)]).await.unwrap().available);
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_is_not_waited_for() {
    for seconds in ["11", "9223372036854775807", "18446744073709551615"] {
        let (base, seen) = by_hand(move |_, _| {
            format!("HTTP/1.1 503 Service Unavailable\r\nretry-after: {seconds}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}")
                .into_bytes()
        })
        .await;
        // The longest deadline, too, is one that can be reckoned with.
        let deadlines = if seconds == "11" { vec![10] } else { vec![10, u64::MAX] };
        for deadline in &deadlines {
            let catalog =
                quick(&base).backoff(Duration::from_millis(1)).deadline(Duration::from_secs(*deadline));
            let catalog = catalog.request_timeout(Duration::MAX).build().unwrap();
            let error = catalog.check(&[line("A", 1)]).await.unwrap_err();
            assert!(matches!(fault(&error), ClientFault::Status(503)), "{error:?}");
        }
        assert_eq!(seen.lock().unwrap().len(), deadlines.len());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let (base, seen) = by_hand(|_, _| Vec::new()).await;
    let catalog = quick(&base)
        .request_timeout(Duration::from_millis(50))
        .deadline(Duration::from_millis(120))
        .retries(100)
        .breaker(1_000, Duration::from_secs(5))
        .build()
        .unwrap();
    let started = std::time::Instant::now();
    let error = catalog.hold(&hold(vec![line("A", 1)])).await.unwrap_err();
    assert!(matches!(fault(&error), ClientFault::Timeout));
    assert!(started.elapsed() >= Duration::from_millis(50) && started.elapsed() < Duration::from_secs(5));
    let requests = seen.lock().unwrap().clone();
    assert!((1..=4).contains(&requests.len()), "{}", requests.len());
    let path = |request: &String| request.lines().next().unwrap().to_owned();
    assert!(requests.iter().all(|request| path(request) == path(&requests[0])), "the same id each time");
}

#[tokio::test]
async fn what_is_too_large_or_not_ours_is_unavailable_and_not_asked_again() {
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(5_000));
    let (base, seen) = by_hand(move |n, _| match n {
        1 => http("200 OK", &large),
        2 => {
            let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
            endless.extend(std::iter::repeat_n(b'x', 100_000));
            endless
        }
        3 => http("200 OK", "<html>hello</html>"),
        4 => http("200 OK", "{\"available\":true,\"as_of\":\"2026-01-01T00:00:00.000Z\",\"lines\":[]}"),
        5 => http("302 Found", ""),
        _ => http("404 Not Found", "{\"code\":\"not_found\"}"),
    })
    .await;
    let catalog = quick(&base).max_response(4_096).build().unwrap();
    let mut faults = Vec::new();
    for n in 1..=6 {
        let error = catalog.check(&[line("A", 1)]).await.unwrap_err();
        assert!(error.is_unknown());
        assert_eq!(seen.lock().unwrap().len(), n, "{error:?}");
        faults.push(fault(&error).to_string());
    }
    let expected = [
        "the answer is longer than 4096 bytes",
        "the answer is longer than 4096 bytes",
        "the answer cannot be read: expected value at line 1 column 1",
        "the answer cannot be read: an answer to other lines",
        "products answered with status 302",
        "products do not know it",
    ];
    assert_eq!(faults, expected);
}

#[tokio::test]
async fn the_breaker_opens_and_recovers() {
    let (server, service, _) = shop().await;
    product(&service, "A", 1).await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let well = Arc::new(Mutex::new(false));
    let (target, now_well) = (server.base.clone(), well.clone());
    // Before it is well it answers 500; then it sends the client's request on as it came.
    let front = Router::new((target, now_well))
        .post("/v1/stock/check", forward)
        .into_app(shop_core::service!("front"));
    let front = serve(front).await;
    let catalog = quick(&front.base)
        .retries(0)
        .breaker(3, Duration::from_secs(5))
        .clock(clock.clone())
        .build()
        .unwrap();
    for _ in 0..3 {
        assert!(matches!(
            fault(&catalog.check(&[line("A", 1)]).await.unwrap_err()),
            ClientFault::Status(500)
        ));
    }
    assert_eq!(catalog.breaker(), BreakerState::Open);
    *well.lock().unwrap() = true;
    let refused = catalog.check(&[line("A", 1)]).await.unwrap_err();
    assert!(matches!(fault(&refused), ClientFault::Open), "{refused:?}");
    assert!(matches!(refused, CatalogError::NotSent(_)) && !refused.is_unknown() && refused.is_unanswered());
    clock.advance(Duration::from_secs(5));
    assert_eq!(catalog.breaker(), BreakerState::HalfOpen);
    assert!(catalog.check(&[line("A", 1)]).await.unwrap().available);
    assert_eq!(catalog.breaker(), BreakerState::Closed);
}

async fn forward(
    (target, well): (String, Arc<Mutex<bool>>),
    mut request: Request,
) -> Result<Response, Problem> {
    if !*well.lock().unwrap() {
        return Err(Problem::internal());
    }
    let body = request.bytes().await?;
    let sent = reqwest::Client::new().post(format!("{target}{}", request.path())).body(body);
    let answer = sent.header("content-type", "application/json").send().await.unwrap();
    Ok(reply::json_bytes(StatusCode::OK, answer.bytes().await.unwrap()))
}

#[tokio::test]
async fn the_ids_of_the_request_that_is_answered_are_passed_on() {
    let (base, seen) = by_hand(|_, _| http("404 Not Found", "{}")).await;
    let catalog = Arc::new(quick(&base).build().unwrap());
    let front = Router::new(catalog).get("/ask", ask).into_app(shop_core::service!("front"));
    let front = serve(front).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let sent = reqwest::Client::new()
        .get(format!("{}/ask", front.base))
        .header("x-request-id", "req-1")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    assert_eq!(sent.send().await.unwrap().status(), 204);
    let request = seen.lock().unwrap()[0].to_lowercase();
    assert!(request.contains("x-request-id: req-1\r\n"), "{request}");
    assert!(
        request.contains(&format!("traceparent: 00-{trace}-")) && !request.contains("00f067aa0ba902b7"),
        "{request}"
    );
}

async fn ask(catalog: Arc<RestCatalog>, _: Request) -> Result<Response, Problem> {
    catalog.check(&[line("A", 1)]).await.unwrap_err();
    Ok(reply::no_content())
}

#[tokio::test]
async fn a_base_url_is_checked_when_the_client_is_made() {
    for bad in ["", "products:8082", "https://x", "ftp://x", "http://x/?a=1", "http://"] {
        assert!(RestCatalog::builder(bad).build().is_err(), "{bad}");
    }
    RestCatalog::builder("http://x:1/prefix").build().unwrap();
    for bad in [
        "https://me:secret@x",
        "http://me:secret@x/?a=1",
        "http://me:secret@x:port",
        "me:secret@x",
        "http://me:sec/secret@",
    ] {
        let builder = RestCatalog::builder(bad);
        let said = format!("{builder:?}");
        assert!(!said.contains("secret"), "{said}");
        let error = builder.build().unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("secret") && said.contains('x') || bad.ends_with('@'), "{said}");
    }
    let said = format!("{:?}", RestCatalog::builder("http://me:secret@x").build().unwrap());
    assert!(!said.contains("secret"), "{said}");
}

/// The published suite, over a real server.
#[cfg(feature = "testing")]
mod suite {
    use async_trait::async_trait;
    use shop_products::testing::{CatalogUnderTest, ProductCatalogFactory};

    use super::*;

    struct Rest;

    #[async_trait]
    impl ProductCatalogFactory for Rest {
        type Guard = Running;

        async fn fresh(&self) -> CatalogUnderTest<Running> {
            let (guard, service, catalog) = shop().await;
            CatalogUnderTest { guard, service, catalog: Arc::new(catalog) }
        }
    }

    shop_products::catalog_suite!(Rest);

    mod in_process {
        use super::*;

        struct Carried;

        #[async_trait]
        impl ProductCatalogFactory for Carried {
            type Guard = ();

            async fn fresh(&self) -> CatalogUnderTest<()> {
                let service = products();
                let app = app(service.clone(), ProductsHttpConfig::default());
                let catalog = RestCatalog::builder("http://products").transport(app).build().unwrap();
                CatalogUnderTest { guard: (), service, catalog: Arc::new(catalog) }
            }
        }

        shop_products::catalog_suite!(Carried);
    }
}
