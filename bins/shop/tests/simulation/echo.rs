//! What was once asked of products comes again, from somewhere, much later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;
use tower_service::Service;

use crate::hosts::PRODUCTS;
use crate::line::{HttpClient, http_client};
use crate::world::World;

/// All that orders ever asked of products.
#[derive(Default)]
pub(crate) struct Asked {
    all: Mutex<Vec<Sent>>,
    /// What is old has been forgotten: now the holds come again.
    pub(crate) is_old: AtomicBool,
    pub(crate) is_over: AtomicBool,
}

#[derive(Clone)]
struct Sent {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// A transport that is listened to.
#[derive(Clone)]
pub(crate) struct Tapped {
    pub(crate) client: HttpClient,
    pub(crate) asked: Arc<Asked>,
}

impl Service<Request<Full<Bytes>>> for Tapped {
    type Response = <HttpClient as Service<Request<Full<Bytes>>>>::Response;
    type Error = <HttpClient as Service<Request<Full<Bytes>>>>::Error;
    type Future = <HttpClient as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let (head, mut body) = request.into_parts();
        // All of it is at hand.
        let frame = body.frame().now_or_never().flatten().and_then(Result::ok);
        let body = frame.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        if head.method != Method::GET {
            let (method, uri, headers) = (head.method.clone(), head.uri.clone(), head.headers.clone());
            self.asked.all.lock().unwrap().push(Sent { method, uri, headers, body: body.clone() });
        }
        self.client.request(Request::from_parts(head, Full::new(body)))
    }
}

/// Repeats one or the other thing while there is a storm; when all is old, every hold.
pub(crate) async fn echo(world: Arc<World>, asked: Arc<Asked>) {
    let client = http_client(&world, &PRODUCTS);
    while !asked.is_over.load(Ordering::Relaxed) {
        world.pause(1_000).await;
        let picked = {
            let all = asked.all.lock().unwrap();
            (!all.is_empty()).then(|| all[world.below(all.len() as u64) as usize].clone())
        };
        if let Some(sent) = picked.filter(|_| world.unlucky(500)) {
            world.note(format_args!("once more {} {}", sent.method, sent.uri.path()));
            is_answered(&client, &sent).await;
        }
        if asked.is_old.swap(false, Ordering::Relaxed) {
            let holds: Vec<Sent> = asked.all.lock().unwrap().clone();
            let holds = holds.iter().filter(|sent| sent.method == Method::PUT);
            join_all(holds.map(async |hold| while !is_answered(&client, hold).await {})).await;
            asked.is_over.store(true, Ordering::Relaxed);
        }
    }
}

async fn is_answered(client: &HttpClient, sent: &Sent) -> bool {
    let mut request = Request::new(Full::new(sent.body.clone()));
    *request.method_mut() = sent.method.clone();
    *request.uri_mut() = sent.uri.clone();
    *request.headers_mut() = sent.headers.clone();
    let answer = async { client.request(request).await.ok()?.into_body().collect().await.ok() };
    timeout(Duration::from_secs(3), answer).await.ok().flatten().is_some()
}
