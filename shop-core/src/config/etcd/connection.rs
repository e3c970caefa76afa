use std::future::Future;
use std::time::Duration;

use etcd_client::{
    Client, ConnectOptions, EventType, GetOptions, KvClient, TlsOptions, Txn, WatchClient, WatchOptions,
    WatchResponse, WatchStream,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

use super::entries::Entry;
use super::mirror::{Event, Notice, Read};
use super::section::EtcdConfig;

/// The most of an answer that is read: far more than configuration is.
const LIMIT: usize = 64 << 20;
/// How long one member is waited for before the next is asked too.
const STAGGER: Duration = Duration::from_millis(250);

/// A connection, authenticated. What it was asked and what it answers has its limit of time: the client's own calls wait for
/// ever while no member can be reached.
pub(super) struct Connection {
    kv: KvClient,
    watch: WatchClient,
    /// Ends with `/`.
    below: String,
    limit: Duration,
}

impl Connection {
    /// Connects to the first member that answers for the cluster, asking the next whenever [`STAGGER`] passes or one refuses
    /// (as RFC 8305 does with addresses): a client of all members at once asks any, the one that is down too.
    pub(super) async fn open(config: &EtcdConfig, limit: Duration) -> Result<Self, String> {
        let endpoints = &config.endpoints;
        // Instances begin at different members.
        let first = crate::chance::next() as usize % endpoints.len().max(1);
        let mut next = (0..endpoints.len()).map(|step| &endpoints[(first + step) % endpoints.len()]);
        let mut asked = FuturesUnordered::new();
        let mut refusals = Vec::new();
        loop {
            if let Some(endpoint) = next.next() {
                asked.push(async move { (endpoint, Self::open_one(config, endpoint, limit).await) });
            }
            let wait = if next.len() == 0 { limit } else { STAGGER };
            match timeout(wait, asked.next()).await {
                Ok(Some((_, Ok(connection)))) => return Ok(connection),
                Ok(Some((endpoint, Err(reason)))) => refusals.push(format!("{endpoint}: {reason}")),
                Ok(None) if next.len() == 0 => return Err(refusals.join("; ")),
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Connects to one member, and gets a token of its own if there is a user: one is never old enough to expire before it is
    /// used. That it can be read shows that it is in touch with the others.
    async fn open_one(config: &EtcdConfig, endpoint: &str, limit: Duration) -> Result<Self, String> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(limit)
            // More often than every 5 s is more than etcd allows.
            .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5));
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            options = options.with_user(user, password.expose());
        }
        if endpoint.starts_with("https://") {
            options = options.with_tls(TlsOptions::new().with_enabled_roots());
        }
        let client = within(limit, Client::connect([endpoint], Some(options))).await?;
        let mut connection = Self {
            kv: client.kv_client().max_decoding_message_size(LIMIT),
            watch: client.watch_client().max_decoding_message_size(LIMIT),
            below: format!("{}/", config.prefix),
            limit,
        };
        let count = GetOptions::new().with_prefix().with_count_only();
        within(limit, connection.kv.get(connection.below.as_str(), Some(count))).await?;
        Ok(connection)
    }

    /// Reads everything, at one revision.
    pub(super) async fn read(&mut self) -> Result<Read, String> {
        self.get(GetOptions::new().with_prefix()).await
    }

    /// Reads everything as it was at a revision, which must not be compacted.
    pub(super) async fn read_at(&mut self, revision: i64) -> Result<Read, String> {
        let read = self.get(GetOptions::new().with_prefix().with_revision(revision)).await?;
        Ok(Read { revision, ..read })
    }

    async fn get(&mut self, options: GetOptions) -> Result<Read, String> {
        let read = self.kv.get(self.below.as_str(), Some(options));
        let mut answer = within(self.limit, read).await?;
        let header = answer.take_header().ok_or("etcd's answer has no header")?;
        let entry = |kv: etcd_client::KeyValue| {
            let revision = kv.mod_revision();
            let (key, value) = kv.into_key_value();
            // A key that is no text is none of ours, but must not be overlooked: it is shown as far as it is text.
            (String::from_utf8_lossy(&key).into_owned(), Entry { value: value.into(), revision })
        };
        Ok(Read {
            cluster: header.cluster_id(),
            revision: header.revision(),
            entries: answer.take_kvs().into_iter().map(entry).collect(),
        })
    }

    /// Runs a transaction; its revision, or `None` if its conditions do not hold.
    pub(super) async fn transact(&mut self, transaction: Txn) -> Result<Option<i64>, String> {
        let answer = within(self.limit, self.kv.txn(transaction)).await?;
        let revision = answer.header().ok_or("etcd's answer has no header")?.revision();
        Ok(answer.succeeded().then_some(revision))
    }

    /// Watches everything from a revision on. It ends when the stream is dropped.
    pub(super) async fn watch(&mut self, from: i64) -> Result<WatchStream, String> {
        // Not in fragments: what one transaction wrote comes in one answer.
        let options = WatchOptions::new().with_prefix().with_start_revision(from);
        within(self.limit, self.watch.watch(self.below.as_str(), Some(options))).await
    }
}

/// The parts of an answer that count.
pub(super) fn notice(mut answer: WatchResponse) -> Notice {
    let header = answer.take_header();
    let events = answer.events().iter().filter_map(|event| {
        let kv = event.kv()?;
        let written = event.event_type() == EventType::Put;
        Some(Event {
            key: String::from_utf8_lossy(kv.key()).into_owned(),
            value: written.then(|| kv.value().into()),
            revision: kv.mod_revision(),
        })
    });
    Notice {
        cluster: header.as_ref().map_or(0, etcd_client::ResponseHeader::cluster_id),
        revision: header.as_ref().map_or(0, etcd_client::ResponseHeader::revision),
        created: answer.created(),
        canceled: answer.canceled(),
        compacted: answer.compact_revision(),
        reason: answer.cancel_reason().to_owned(),
        events: events.collect(),
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(etcd_client::Error::GRpcStatus(status))) => Err(status.message().to_owned()),
        Ok(Err(error)) => Err(crate::chain(&error)),
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
    }
}
