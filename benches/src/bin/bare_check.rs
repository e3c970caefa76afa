//! `bare_check ADDR`: the least server that answers a stock check: hyper, serde_json, a `HashMap` of a thousand products. It
//! parses and answers the same JSON as `POST /v1/stock/check`; no routes, ids, checks of content, logs or metrics.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use shop_core::{Clock, SystemClock, Timestamp};
use shop_products::{ProductId, Sku};

#[derive(Deserialize)]
struct Question {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    sku: Sku,
    quantity: i64,
}

#[derive(Serialize)]
struct Answer {
    available: bool,
    as_of: Timestamp,
    lines: Vec<AnswerLine>,
}

#[derive(Serialize)]
struct AnswerLine {
    product_id: Option<ProductId>,
    sku: Sku,
    requested: i64,
    available: i64,
    status: &'static str,
}

type Stock = HashMap<Sku, (ProductId, i64)>;

async fn check(stock: Arc<Stock>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let Ok(question) = serde_json::from_slice::<Question>(&body) else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = hyper::StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    let lines: Vec<_> = question
        .lines
        .into_iter()
        .map(|line| {
            let found = stock.get(&line.sku);
            let available = found.map_or(0, |(_, available)| *available);
            AnswerLine {
                product_id: found.map(|(id, _)| *id),
                sku: line.sku,
                requested: line.quantity,
                available,
                status: if available >= line.quantity { "ok" } else { "insufficient" },
            }
        })
        .collect();
    let answer =
        Answer { available: lines.iter().all(|line| line.status == "ok"), as_of: SystemClock.now(), lines };
    let body = serde_json::to_vec(&answer).expect("plain data");
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).ok_or("usage: bare_check ADDR")?.parse()?;
    let stock: Stock =
        (0..1_000).map(|n| (shop_benches::sku(n), (ProductId::generate(), 1_000_000_000))).collect();
    let stock = Arc::new(stock);
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let stock = stock.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| check(stock.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is none of its business.
            let _: Result<(), hyper::Error> = connection.await;
            Ok::<(), Infallible>(())
        });
    }
}
