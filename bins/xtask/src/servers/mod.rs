//! The servers of the tests: real ones, of the project's own, on free ports and in fresh folders.
//!
//! A server ends when it is dropped, and also with the thread that started it, whatever ended that one. What a run that was
//! killed has left in the folder for temporary files, the next one removes.

mod etcd;
mod folder;
mod logstash;
mod mongodb;
mod postgres;
mod process;

use std::ffi::OsString;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use crate::run::Result;

pub use etcd::Etcd;
pub use logstash::Logstash;
pub use mongodb::{Mongodb, mongod};
pub use postgres::Postgres;
pub use process::Process;

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the tests are told: where PostgreSQL is, as a superuser.
pub const POSTGRES_URL: &str = "SHOP_TEST_POSTGRES_URL";
/// What the tests are told: where an etcd is that asks for no user, several members with commas.
pub const ETCD_ENDPOINTS: &str = "SHOP_TEST_ETCD_ENDPOINTS";
/// What the tests are told: where a MongoDB replica set is.
pub const MONGODB_URL: &str = "SHOP_TEST_MONGODB_URL";
/// What the tests are told: the `mongod` to start one of their own with.
pub const MONGOD: &str = "SHOP_TEST_MONGOD";
/// What the tests are told: where a node-logstash takes JSON lines over HTTP.
pub const LOGSTASH_HTTP_URL: &str = "SHOP_TEST_LOGSTASH_HTTP_URL";
/// What the tests are told: where it takes datagrams.
pub const LOGSTASH_UDP_URL: &str = "SHOP_TEST_LOGSTASH_UDP_URL";
/// What the tests are told: the file to which it writes its events, a line each.
pub const LOGSTASH_EVENTS: &str = "SHOP_TEST_LOGSTASH_EVENTS";

/// The servers that the tests ask for: those that the environment names, and own ones for the rest.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Only kept.
    _postgres: Option<Postgres>,
    _mongodb: Option<Mongodb>,
    _etcd: Option<Etcd>,
    _logstash: Option<Logstash>,
    exports: Vec<(&'static str, OsString)>,
}

impl Servers {
    /// Installs what is missing and starts them.
    pub(crate) fn start() -> Result<Self> {
        folder::remove_leftovers();
        let mongod = mongodb::mongod()?;
        let mut exports = vec![(MONGOD, mongod.into_os_string())];
        let mut given = |name: &'static str| {
            let url = std::env::var_os(name);
            exports.extend(url.clone().map(|url| (name, url)));
            url.is_some()
        };
        let [has_postgres, has_mongodb, has_etcd] =
            [POSTGRES_URL, MONGODB_URL, ETCD_ENDPOINTS].map(&mut given);
        let has_logstash =
            [LOGSTASH_HTTP_URL, LOGSTASH_UDP_URL, LOGSTASH_EVENTS].map(&mut given) == [true; 3];
        let postgres = if has_postgres { None } else { Some(Postgres::start()?) };
        let mongodb = if has_mongodb { None } else { Some(Mongodb::start()?) };
        let etcd = if has_etcd { None } else { Some(Etcd::start()?) };
        let logstash = if has_logstash { None } else { Some(Logstash::start()?) };
        exports.extend(postgres.iter().map(|server| (POSTGRES_URL, server.url().into())));
        exports.extend(mongodb.iter().map(|server| (MONGODB_URL, server.url().into())));
        exports.extend(etcd.iter().map(|server| (ETCD_ENDPOINTS, server.endpoint().into())));
        if let Some(server) = &logstash {
            exports
                .retain(|(name, _)| ![LOGSTASH_HTTP_URL, LOGSTASH_UDP_URL, LOGSTASH_EVENTS].contains(name));
            exports.push((LOGSTASH_HTTP_URL, server.http_url().into()));
            exports.push((LOGSTASH_UDP_URL, server.udp_url().into()));
            exports.push((LOGSTASH_EVENTS, server.events().into()));
        }
        Ok(Self { _postgres: postgres, _mongodb: mongodb, _etcd: etcd, _logstash: logstash, exports })
    }

    /// Variables that the tests look for.
    pub(crate) fn exports(&self) -> &[(&'static str, OsString)] {
        &self.exports
    }
}

/// `cargo xtask servers`: keeps them until a signal ends this process, and them with it.
pub(crate) fn keep() -> Result {
    let servers = Servers::start()?;
    for (name, value) in servers.exports() {
        println!("export {name}='{}'", value.display());
    }
    eprintln!("xtask: Ctrl-C ends the servers");
    loop {
        std::thread::park();
    }
}

/// A UDP port that nobody has at the moment.
fn free_udp_port() -> Result<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    socket.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// A port that nobody has at the moment.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
