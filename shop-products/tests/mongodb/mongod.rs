use std::process::{Child, Command, Stdio};

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use tempfile::TempDir;

/// A server of its own, killed when it is dropped.
pub(crate) struct Mongod {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Mongod {
    /// With these arguments more.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let binary = std::env::var("SHOP_TEST_MONGOD").expect("SHOP_TEST_MONGOD is the path of mongod");
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(binary)
            .args(["--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.25", "--port", &port.to_string()])
            .args(["--nounixsocket", "--dbpath"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, port, _folder: folder }
    }

    /// A replica set of one, which will be its primary soon.
    pub(crate) async fn replica_set() -> Self {
        let it =
            Self::start(&["--replSet", "rs0", "--oplogSize", "64", "--setParameter", "enableTestCommands=1"]);
        let members = [doc! { "_id": 0, "host": it.address() }];
        let initiate = doc! { "replSetInitiate": { "_id": "rs0", "members": members } };
        it.admin().await.run_command(initiate).await.unwrap();
        it
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Of this server, whether it is the primary or not; as soon as it is up.
    pub(crate) async fn admin(&self) -> mongodb::Database {
        let url = format!("mongodb://{}/?directConnection=true", self.address());
        let options = ClientOptions::parse(url).await.unwrap();
        Client::with_options(options).unwrap().database("admin")
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
