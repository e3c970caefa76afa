use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, PutOptions};
use serde::{Deserialize, Serialize};
use shop_core::config::{ByteSize, EtcdConfig, Live, LiveError, Loader, Secret, Violation, Watcher};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing_subscriber::layer::SubscriberExt;
use uuid::Uuid;

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) etcd: Option<EtcdConfig>,
    pub(crate) limits: Limits,
    pub(crate) names: BTreeMap<String, String>,
    pub(crate) token: Option<Secret>,
    pub(crate) list: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) body: ByteSize,
    pub(crate) low: u16,
    pub(crate) high: u16,
    pub(crate) on: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: ByteSize(1), low: 1, high: 1, on: false }
    }
}

/// What types do not say.
pub(crate) fn check(config: &Config) -> Vec<Violation> {
    let bad = config.limits.low > config.limits.high;
    bad.then(|| Violation::new("limits.low", "is more than limits.high")).into_iter().collect()
}

/// A prefix of its own on a server.
pub(crate) struct Place {
    pub(crate) endpoint: String,
    pub(crate) prefix: String,
    /// What comes under `[etcd]` beside these two.
    pub(crate) more: String,
    folder: tempfile::TempDir,
}

impl Place {
    /// On the server that all tests share.
    pub(crate) fn shared() -> Self {
        let endpoints = std::env::var("SHOP_TEST_ETCD_ENDPOINTS").unwrap_or_else(|_| {
            panic!(
                "SHOP_TEST_ETCD_ENDPOINTS is not set: run `cargo xtask test`, which starts an etcd, or set it to the \
                 endpoint of one that asks for no user, such as http://127.0.0.1:2379"
            )
        });
        Self::on(endpoints.split(',').next().unwrap())
    }

    pub(crate) fn on(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            prefix: format!("/test/{}", Uuid::now_v7().simple()),
            more: String::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The file that is kept for `app`.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.folder.path().join("state/config.app.json")
    }

    pub(crate) fn with_snapshot(mut self) -> Self {
        let path = self.folder.path().join("state/config.json");
        let _ = writeln!(self.more, "snapshot = '{}'", path.display());
        self
    }

    pub(crate) fn key(&self, below: &str) -> String {
        format!("{}/{below}", self.prefix)
    }

    /// The file's layer.
    pub(crate) fn loader(&self) -> Loader {
        let (endpoint, prefix, more) = (&self.endpoint, &self.prefix, &self.more);
        Loader::new().text(
            "app.toml",
            format!("[etcd]\nendpoints = ['{endpoint}']\nprefix = '{prefix}'\n{more}\n[limits]\nhigh = 10\n"),
        )
    }

    pub(crate) async fn load(&self) -> Result<(Live<Config>, Watcher<Config>), LiveError> {
        self.loader().live("app", check).await
    }

    /// Loaded and watched.
    pub(crate) async fn live(&self) -> Live<Config> {
        let (live, watcher) = self.load().await.unwrap();
        tokio::spawn(watcher.run());
        until("it is watched", || live.status().watching).await;
        live
    }

    /// What a start would find now, with where it came from.
    pub(crate) async fn fresh(&self) -> String {
        shown(&self.load().await.unwrap().0)
    }

    pub(crate) async fn client(&self) -> Client {
        client(&self.endpoint, None).await
    }

    /// Writes a value below the prefix; the revision of it.
    pub(crate) async fn put(&self, below: &str, value: impl Into<Vec<u8>>) -> i64 {
        put(&mut self.client().await, &self.key(below), value).await
    }

    pub(crate) async fn delete(&self, below: &str) -> i64 {
        let answer = self.client().await.delete(self.key(below), None).await.unwrap();
        answer.header().unwrap().revision()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) async fn client(endpoint: &str, options: Option<ConnectOptions>) -> Client {
    Client::connect([endpoint], options).await.unwrap()
}

pub(crate) async fn put(client: &mut Client, key: &str, value: impl Into<Vec<u8>>) -> i64 {
    let answer = client.put(key, value, None::<PutOptions>).await.unwrap();
    answer.header().unwrap().revision()
}

pub(crate) fn shown(live: &Live<Config>) -> String {
    live.current().explain().unwrap().to_string()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LIMIT, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A way to a server that can be cut.
pub(crate) struct Line {
    pub(crate) endpoint: String,
    open: watch::Sender<bool>,
}

impl Line {
    pub(crate) async fn to(endpoint: &str) -> Self {
        let target = endpoint.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut is_open, target) = (is_open.clone(), target.clone());
                if !*is_open.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(&target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.changed() => {}
                    }
                });
            }
        });
        Self { endpoint, open }
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

/// What this thread logs, as text.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<String>>);

impl Said {
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let said = Self::default();
        let subscriber = tracing_subscriber::registry().with(said.clone());
        (said, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Said {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Fields<'a>(&'a mut String);
        impl tracing::field::Visit for Fields<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                let _ = write!(self.0, " {field}={value:?}");
            }
        }
        let mut text = self.0.lock().unwrap();
        let _ = write!(text, "{}", event.metadata().level());
        event.record(&mut Fields(&mut text));
        text.push('\n');
    }
}
