//! The gateway inside a server of your own, below a layer of your own, with an upstream that is no socket at all.
//!
//! `cargo run -p shop-examples --example gateway_layer`

use std::convert::Infallible;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shop_gateway::{Gateway, GatewayConfig, RequestBody, RouteConfig};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Any tower service can be an upstream: here a function, in `shop up` the orders and products services.
    let greeter = service_fn(async |request: Request<RequestBody>| {
        let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("none");
        Ok::<_, Infallible>(Response::new(format!("hello {}, you are request {id}\n", request.uri().path())))
    });
    let config =
        GatewayConfig { routes: vec![RouteConfig::new("/hello", "greeter")], ..GatewayConfig::default() };
    let gateway = Gateway::builder(config).service("greeter", greeter).build()?;

    // The gateway is a service, so any layer goes around it; this one signs every answer, the gateway's own refusals too.
    let app = ServiceBuilder::new()
        .map_response(|mut response: Response<_>| {
            response.headers_mut().insert("x-served-by", HeaderValue::from_static("my-own-server"));
            response
        })
        .service(gateway.map_request(|request: Request<Incoming>| request));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    eprintln!("a connection broke: {error}");
                }
            });
        }
    });

    let answer = reqwest::get(format!("http://{address}/hello/ada")).await?;
    assert_eq!(answer.headers()["x-served-by"], "my-own-server");
    print!("{}", answer.text().await?);

    let refusal = reqwest::get(format!("http://{address}/nowhere")).await?;
    assert_eq!(refusal.status(), 404);
    assert_eq!(refusal.headers()["x-served-by"], "my-own-server");
    println!("{}", refusal.text().await?);
    Ok(())
}
