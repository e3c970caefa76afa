//! A client of the HTTP API that does not believe that it will be answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::time::timeout;

use crate::line::{HttpClient, http_client};
use crate::world::World;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// A client that is not answered in calm weather either has found a fault.
const MAX_TRIES: u32 = 200;

/// One client, by its name.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    /// By way of the one gateway, and of the other.
    ways: [HttpClient; 2],
}

/// What is asked.
#[derive(Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) if_match: Option<u64>,
    pub(crate) body: Option<Value>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The code of a problem; empty for anything else.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether it says that the same may be asked again, and so nothing of what was asked.
    pub(crate) fn is_retryable(&self) -> bool {
        self.json()["retryable"] == true
    }
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, name: String) -> Self {
        let ways = [http_client(world, &[("gateway-1", 8080)]), http_client(world, &[("gateway-2", 8080)])];
        Self { world: world.clone(), name, ways }
    }

    /// Asks once; an answer, or silence.
    pub(crate) async fn ask(&self, ask: &Ask) -> Option<Reply> {
        let mut request = Request::builder().method(ask.method).uri(format!("http://shop{}", ask.path));
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(version) = ask.if_match {
            request = request.header("if-match", format!("\"{version}\""));
        }
        if ask.body.is_some() {
            let kind =
                if ask.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            request = request.header("content-type", kind);
        }
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(body.into())).unwrap();
        let way = self.world.below(2) as usize;
        let answer = async {
            let (head, body) = self.ways[way].request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Reply { status: head.status.as_u16(), headers: head.headers, body })
        };
        let reply = timeout(PATIENCE, answer).await.ok().flatten();
        let said = reply.as_ref().map(|reply| (reply.status, reply.code()));
        self.world.note(format_args!("{} {} {} by {way}: {said:?}", self.name, ask.method, ask.path));
        reply
    }

    /// Asks until there is an answer that decides, or the client loses interest. What was asked before may be done too.
    pub(crate) async fn insist(&self, ask: &Ask) -> Option<Reply> {
        let mut tries = 0;
        loop {
            match self.ask(ask).await {
                Some(reply) if reply.status < 400 || !reply.is_retryable() => return Some(reply),
                _ => {}
            }
            tries += 1;
            if tries > MAX_TRIES {
                self.world.wrong(format!("{} {} of {} is never answered", ask.method, ask.path, self.name));
                return None;
            }
            self.world.pause(1_000).await;
            if self.world.unlucky(40) {
                return None;
            }
        }
    }

    /// Something that no client should ever hear.
    pub(crate) fn wrong(&self, what: &str, reply: &Reply) {
        let text = String::from_utf8_lossy(&reply.body);
        self.world.wrong(format!("{}: {what} was answered with {} {text}", self.name, reply.status));
    }
}
