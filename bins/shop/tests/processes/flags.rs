use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::support::client::lines_of;
use crate::support::process::{self, Process};
use crate::support::shop::{Shop, up};

const SERVERS: [&str; 3] = ["shop-gateway", "shop-orders", "shop-products"];

#[test]
fn help_and_version_are_0_and_wrong_flags_64() {
    for (mut command, arguments, code) in [
        (process::shop(), vec!["--help"], 0),
        (process::shop(), vec!["--version"], 0),
        (process::shop(), vec!["up", "--help"], 0),
        (process::shop(), vec![], 64),
        (process::shop(), vec!["down"], 64),
        (process::shop(), vec!["up", "--listen", "nowhere"], 64),
        (process::shop(), vec!["up", "--liste", "127.0.0.1:0"], 64),
        (process::shop(), vec!["order", "place"], 64),
        (process::shop(), vec!["check", "A=many"], 64),
        (process::server("shop-gateway"), vec!["--store", "memory:"], 64),
        (process::server("shop-orders"), vec!["--products-url"], 64),
        (process::server("shop-products"), vec!["--products-url", "http://x"], 64),
    ] {
        let ended = Process::run(command.args(&arguments));
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        assert!(if code == 0 { ended.err.is_empty() } else { ended.out.is_empty() }, "{ended:?}");
        assert!(!(ended.out + &ended.err).is_empty());
    }
}

#[test]
fn a_good_configuration_is_checked_without_starting() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let ended =
        Process::run(up(&data).args(["--check", "--config", "/dev/null"]).env("SHOP__GATEWAY__WORKERS", "1"));
    assert_eq!((ended.code, &*ended.out), (0, "shop: the configuration is good\n"), "{ended:?}");
    assert!(!data.exists(), "nothing was made");
    for server in SERVERS {
        let ended =
            Process::run(process::server(server).args(["--check", "--listen", &taken]).current_dir(&dir));
        assert_eq!((ended.code, ended.err.len()), (0, 0), "nothing is bound: {ended:?}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing was made");
}

#[test]
fn every_fault_is_named_with_its_place_and_nothing_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("shop.toml"), dir.path().join("data"));
    let name = file.display();
    for (text, variables, expected) in [
        (
            "[orders]\nstroe = \"memory:\"\nstore = \"mysql://u:hunter2@h/db\"\ngrace = 5\n\n[gateway.limits]\nmax_body = \"lots\"\n",
            &[("SHOP__ORDERS__PLACE_DEADLINE", "soon"), ("SHOP__ORDERS__STOER", "x")][..],
            &[
                "{}:2: orders.stroe: unknown key",
                "{}:3: orders.store: ",
                "{}:4: orders.grace: ",
                "{}:7: gateway.limits.max_body: ",
                "SHOP__ORDERS__PLACE_DEADLINE: orders.place_deadline: ",
                "SHOP__ORDERS__STOER: orders.stoer: unknown key",
            ][..],
        ),
        (
            "[orders]\nplace_deadline = \"0s\"\nproducts_url = \"ftp://x\"\n[[routes]]\npath = \"v1\"\nupstream = \"nobody\"\n[log]\nlevel = \"loud\"\n",
            &[],
            &[
                "{}:2: orders.place_deadline: must not be 0",
                "{}:3: orders.products_url: ",
                "{}:5: routes.0.path: ",
                "{}:6: routes.0.upstream: ",
                "{}:8: log.level: \"loud\" is not a level",
            ],
        ),
        (
            // What only the other service has, and what none has.
            "[orders]\nstore = \"mongodb://u:hunter2@h/db\"\n",
            &[],
            &["{}:2: orders.store: "],
        ),
        ("[products]\nstore = \"mysql://u:hunter2@h/db\"\n", &[], &["{}:2: products.store: "]),
        ("[orders\n", &[], &["{}:1: "]),
        #[cfg(not(feature = "logstash"))]
        (
            "[log]\nlevel = \"loud\"\n[log.logstash]\nurl = \"tcp://logs\"\n",
            &[],
            &[
                "{}:3: log.logstash: this build sends nothing to Logstash; build it with `--features logstash`",
            ],
        ),
        #[cfg(feature = "logstash")]
        (
            "[log]\nlevel = \"loud\"\n[log.logstash]\nurl = [\"tcp://logs\",\n\"http://me:hunter2@logs\"]\ncompression = 10\n",
            &[("SHOP__LOG__LOGSTASH__ACK_TIMEOUT", "0s")],
            &[
                "{}:2: log.level: \"loud\" is not a level",
                "{}:4: log.logstash.url: ",
                "{}:6: log.logstash.compression: ",
                "SHOP__LOG__LOGSTASH__ACK_TIMEOUT: log.logstash.ack_timeout: ",
            ],
        ),
        #[cfg(feature = "logstash")]
        (
            "[log.logstash]\nurls = \"tcp://logs\"\nurl = \"https://me:hunter2@logs\"\n[log.logstash.spool]\nmax_bytes = \"lots\"\n",
            &[],
            &[
                "{}:2: log.logstash.urls: unknown key",
                "{}:3: log.logstash.url: ",
                "{}:4: log.logstash.spool.dir: is missing",
                "{}:5: log.logstash.spool.max_bytes: ",
            ],
        ),
        (
            "[gateway]\nlisten = []\n[orders]\nplace_deadline = \"30s\"\nproducts_url = \"https://me:hunter2@x\"\n",
            // A flag gives the gateway's address.
            &[],
            &[
                "{}:4: orders.place_deadline: must be less than grace, which is 30s",
                "{}:5: orders.products_url: ",
            ],
        ),
    ] {
        fs::write(&file, text).unwrap();
        let ended = Process::run(up(&data).arg("--config").arg(&file).envs(variables.iter().copied()));
        assert_eq!((ended.code, &*ended.out), (64, ""), "{ended:?}");
        let lines: Vec<_> = ended.err.lines().collect();
        assert_eq!((lines[0], lines.len() - 1), ("shop: bad configuration", expected.len()), "{ended:?}");
        for fault in expected {
            let fault = fault.replace("{}", &name.to_string());
            assert_eq!(lines.iter().filter(|line| line.starts_with(&fault)).count(), 1, "{fault}: {ended:?}");
        }
        assert!(!ended.err.contains("hunter2"), "{ended:?}");
        assert!(!data.exists(), "nothing was made");
    }
    fs::write(&file, "[gateway]\nlisten = []\n").unwrap();
    let ended = Process::run(process::shop().args(["up", "--check", "--config"]).arg(&file));
    assert_eq!((ended.code, ended.err.lines().count()), (64, 2), "{ended:?}");
    assert!(ended.err.contains(&format!("{name}:2: gateway.listen: has no address")), "{ended:?}");
    for server in SERVERS {
        let mut command = process::server(server);
        let ended = Process::run(command.args(["--check", "--config", "missing.toml"]).env("SHOP__X", "1"));
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.err.contains("missing.toml") && ended.err.contains("SHOP__X"), "{ended:?}");
    }
}

#[cfg(unix)]
#[test]
fn only_a_variable_of_ours_must_be_utf8() {
    use std::os::unix::ffi::OsStrExt;

    let text = std::ffi::OsStr::from_bytes(b"sqlite:\xff");
    let ended = Process::run(process::shop().args(["up", "--check"]).env("PS1", text));
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    let ended = Process::run(process::shop().args(["up", "--check"]).env("SHOP__ORDERS__STORE", text));
    assert_eq!(
        (ended.code, &*ended.err),
        (64, "shop: bad configuration\nSHOP__ORDERS__STORE: is not UTF-8\n"),
        "{ended:?}"
    );
}

/// The file of servers of their own serves `shop up` as it is.
#[tokio::test]
async fn one_file_serves_all_processes() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("shop.toml"), dir.path().join("data"));
    let away = "[upstreams.orders]\nendpoints = [\"127.0.0.1:9\"]\nresponse_timeout = \"7s\"\n\
                [upstreams.products]\nendpoints = [\"127.0.0.1:9\"]\n";
    fs::write(&file, away).unwrap();
    for server in SERVERS {
        let ended = Process::run(process::server(server).args(["--check", "--config"]).arg(&file));
        assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    }
    let shop = Shop::start_with(&data, &["--config", file.to_str().unwrap()], &[]);
    shop.client().product("A", 1).await;
    shop.client().order(&[("A", 1)]).await;
    assert_eq!(shop.stop().0.code, 0);
    let log = crate::logs::read(&data.join("logs"));
    for said in ["endpoints of upstreams.orders are not used", "endpoints of upstreams.products are not used"]
    {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
}

#[test]
fn a_port_in_use_is_a_fault_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let fault = |command: &mut Command| {
        let ended = Process::run(command.current_dir(&dir));
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains(&taken) && ended.err.contains("in use"), "{ended:?}");
        assert!(!ended.out.contains("ready"), "{ended:?}");
    };
    for flag in ["--listen", "--orders-listen", "--products-listen", "--admin-listen"] {
        let mut command = process::shop();
        for each in ["--listen", "--orders-listen", "--products-listen", "--admin-listen"] {
            command.args([each, if each == flag { &taken } else { "127.0.0.1:0" }]);
        }
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        fault(process::shop().arg("up").args(arguments));
    }
    for server in SERVERS {
        let mut command = process::server(server);
        command.env("SHOP__ORDERS__STORE", "memory:").env("SHOP__PRODUCTS__STORE", "memory:");
        fault(command.args(["--listen", &taken, "--admin-listen", "127.0.0.1:0"]));
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_a_fault_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "this is no database, however long it is: ".repeat(100)).unwrap();
    for store in [format!("sqlite:{}", file.display()), format!("sqlite:{}/in/a/file.db", file.display())] {
        let mut command = process::server("shop-products");
        let ended = Process::run(command.args(["--listen", "127.0.0.1:0", "--store", &store]));
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(
            ended.err.starts_with("products: ") && ended.err.contains(&*file.to_string_lossy()),
            "{ended:?}"
        );
    }
}

/// Two processes on one data folder are two instances on one store: the store decides, and nothing is sold twice.
#[tokio::test]
async fn a_second_shop_on_the_same_folder_oversells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shops = [Shop::start_in(dir.path(), &[]), Shop::start_in(dir.path(), &[])];
    let clients = shops.each_ref().map(Shop::client);
    clients[0].product("A", 50).await;
    let body = serde_json::json!({"lines": lines_of(&[("A", 1)])});
    let buyers: Vec<_> = (0..100)
        .map(|n| {
            let key = format!("k-{}", n / 2);
            let call = clients[n % 2].call("POST", "/v1/orders").header("idempotency-key", &key).json(&body);
            tokio::spawn(async move { (key, call.send().await) })
        })
        .collect();
    let mut placed = std::collections::BTreeMap::new();
    for buyer in buyers {
        let (key, reply) = buyer.await.unwrap();
        match reply.status {
            201 => {
                let order = reply.ok(201)["id"].clone();
                assert_eq!(*placed.entry(key).or_insert(order.clone()), order, "one order a key");
            }
            409 => assert!(reply.text().contains("insufficient_stock"), "{reply:?}"),
            // Contention between the two may be answered with "ask again".
            _ => assert!(reply.status == 503 && reply.header("retry-after").is_some(), "{reply:?}"),
        }
    }
    for client in &clients {
        let sold = client.get("/v1/orders?include=total").await.ok(200)["total"].as_i64().unwrap();
        assert!(sold >= placed.len() as i64 && !placed.is_empty());
        client.stock_becomes("A", 50, sold).await;
    }
    for shop in shops {
        assert_eq!(shop.stop().0.code, 0);
    }
}
