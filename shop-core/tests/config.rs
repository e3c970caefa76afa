//! The layers, their origins, and every fault at once.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shop_core::config::{ByteSize, ConfigErrors, HumanDuration, Loaded, Loader, Origin, Secret, Violation};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    orders: Orders,
    limits: Limits,
    upstreams: BTreeMap<String, Upstream>,
    routes: Vec<Route>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Orders {
    store: String,
    listen: Vec<std::net::SocketAddr>,
    token: Option<Secret>,
    code: String,
}

impl Default for Orders {
    fn default() -> Self {
        let listen = vec!["127.0.0.1:8081".parse().unwrap()];
        Self { store: "memory:".into(), listen, token: None, code: String::new() }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    body: ByteSize,
    timeout: HumanDuration,
    workers: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Upstream {
    endpoints: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    path: String,
    upstream: String,
    #[serde(default)]
    kind: Kind,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Prefix,
    Exact,
}

fn vars(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn faults(result: Result<Loaded<Config>, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_higher_layer_wins_value_by_value_and_each_knows_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.toml");
    std::fs::write(
        &file,
        "[orders]\nstore = \"sqlite:a\"\ncode = \"x\"\n\n[limits]\nbody = \"64KiB\"\nworkers = 2\n",
    )
    .unwrap();
    let loaded = Loader::new()
        .file(&file)
        .text("over.toml", "[limits]\nworkers = 3\ntimeout = \"5m\"\n")
        .env(vars(&[
            ("SHOP__ORDERS__CODE", "007"),
            ("SHOP__LIMITS__WORKERS", "4"),
            ("SHOP__ORDERS__LISTEN", "[\"0.0.0.0:1\", \"0.0.0.0:2\"]"),
            ("PATH", "/bin"),
            ("SHOPPING", "no"),
        ]))
        .flag("--workers", "limits.workers", Some(5))
        .flag("--store", "orders.store", None::<String>)
        .load::<Config>()
        .unwrap();
    let Config { orders, limits, .. } = &loaded.value;
    assert_eq!((orders.store.as_str(), orders.code.as_str(), orders.listen.len()), ("sqlite:a", "007", 2));
    assert_eq!(
        (limits.body, limits.timeout, limits.workers),
        ("64KiB".parse().unwrap(), "5m".parse().unwrap(), 5)
    );
    assert_eq!(
        loaded.origin("orders.store"),
        Origin::File { path: file.display().to_string().into(), line: 2 }
    );
    assert_eq!(loaded.origin("limits.timeout").to_string(), "over.toml:3");
    assert_eq!(loaded.origin("orders.code").to_string(), "SHOP__ORDERS__CODE");
    assert_eq!(loaded.origin("limits.workers").to_string(), "--workers");
    assert_eq!(loaded.origin("orders.token"), Origin::Default);
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let text = r#"
[orders]
store = 5
stroe = "x"
listen = ["nonsense", "127.0.0.1:1"]

[limits]
body = "64XB"
timeout = 30

[log.logstash]
url = "tcp://x"

[upstreams.a]
endpoint = ["x"]

[[routes]]
path = "/a"
upstream = 1

[[routes]]
path = "/b"
upstream = "a"
kind = "regex"
"#;
    let env =
        vars(&[("SHOP__LIMITS__WORKERS", "70000"), ("SHOP__ORDERS__", "1"), ("SHOP__LIMTS__BODY", "1")]);
    let mut found =
        faults(Loader::new().text("a.toml", text).env(env).flag("--code", "orders.code", Some(1)).load());
    found.sort();
    let begins = [
        "--code: orders.code: ",
        "SHOP__LIMITS__WORKERS: limits.workers: ",
        "SHOP__LIMTS__BODY: limts: unknown key",
        "SHOP__ORDERS__: the name must be SHOP__SECTION__KEY",
        "a.toml:11: log: unknown key",
        "a.toml:14: upstreams.a.endpoints: is missing",
        "a.toml:15: upstreams.a.endpoint: unknown key",
        "a.toml:19: routes.0.upstream: ",
        "a.toml:24: routes.1.kind: ",
        "a.toml:3: orders.store: ",
        "a.toml:4: orders.stroe: unknown key",
        "a.toml:5: orders.listen.0: ",
        "a.toml:8: limits.body: must be a size",
        "a.toml:9: limits.timeout: ",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (fault, begin) in found.iter().zip(begins) {
        assert!(fault.starts_with(begin), "{fault}\nshould begin with {begin}");
    }
}

#[test]
fn files_that_cannot_be_read_are_faults_beside_the_others() {
    let found = faults(
        Loader::new()
            .file("/nonexistent/a.toml")
            .text("b.toml", "a = \nb = 1")
            .env(vars(&[("SHOP__LIMITS__BODY", "big")]))
            .load(),
    );
    assert!(found[0].starts_with("/nonexistent/a.toml:1: cannot be read"), "{found:?}");
    assert!(found[1].starts_with("b.toml:1: "), "{found:?}");
    assert!(found.last().unwrap().starts_with("SHOP__LIMITS__BODY: limits.body: "), "{found:?}");
}

#[test]
fn secrets_are_resolved_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("code");
    std::fs::write(&path, "from-file\n").unwrap();
    let text = format!(
        "[orders]\ntoken = \"secret:env:TOKEN\"\ncode = \"secret:file:{}\"\nstore = \"postgres://me:pw@db/shop\"\n",
        path.display()
    );
    let loaded =
        Loader::new().text("a.toml", text).env(vars(&[("TOKEN", "hunter2")])).load::<Config>().unwrap();
    assert_eq!(loaded.value.orders.token.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(loaded.value.orders.code, "from-file");
    let shown = format!("{}{:?}", loaded.explain().unwrap(), loaded.value.orders.token);
    for line in [
        "orders.token = \"***\"  # a.toml:2\n",
        "orders.code = \"***\"  # a.toml:3\n",
        "orders.store = \"postgres://me:***@db/shop\"  # a.toml:4\n",
        "orders.listen = [\"127.0.0.1:8081\"]  # default\n",
    ] {
        assert!(shown.contains(line), "{line}{shown}");
    }
    for hidden in ["hunter2", "from-file", "pw@"] {
        assert!(!shown.contains(hidden), "{shown}");
    }

    let text = "[orders]\ntoken = \"secret:env:ABSENT\"\n[limits]\nworkers = \"secret:env:TOKEN\"\nbody = \"secret:vault:x\"\n";
    let found = faults(Loader::new().text("a.toml", text).env(vars(&[("TOKEN", "hunter2")])).load());
    assert!(
        found.contains(&"a.toml:2: orders.token: the variable ABSENT is not set".to_owned()),
        "{found:?}"
    );
    assert!(found.iter().any(|f| f.starts_with("a.toml:4: limits.workers: ")), "{found:?}");
    assert!(found.iter().any(|f| f.starts_with("a.toml:5: limits.body: a secret is named")), "{found:?}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
}

#[test]
fn a_programs_own_check_is_told_with_the_origin_too() {
    let check = |config: &Config| {
        let known = |name: &str| config.upstreams.contains_key(name);
        let unknown = config.routes.iter().enumerate().filter(|(_, route)| !known(&route.upstream));
        unknown
            .map(|(i, route)| {
                Violation::new(format!("routes.{i}.upstream"), format!("no upstream {}", route.upstream))
            })
            .collect()
    };
    let text = "[[routes]]\npath = \"/a\"\nupstream = \"b\"\n";
    let error = Loader::new().text("a.toml", text).load_checked(check).unwrap_err();
    assert_eq!(error.to_string(), "a.toml:3: routes.0.upstream: no upstream b");
}

#[test]
fn no_check_can_show_a_secret() {
    let text = "[orders]\ntoken = \"secret:env:TOKEN\"\nstore = \"postgres://me:pw4711@db/shop\"\ncode = \"plain\"\n";
    let loader = || Loader::new().text("a.toml", text).env(vars(&[("TOKEN", "hunter2")]));
    let refuse = |config: &Config| {
        let orders = &config.orders;
        vec![
            Violation::new("orders.token", format!("not {}", orders.token.as_ref().unwrap().expose())),
            Violation::new("orders.store", format!("{} is none", orders.store)),
            Violation::new("orders.code", format!("not {}", orders.code)),
        ]
    };
    let found = faults(loader().load_checked(refuse));
    assert_eq!(
        found,
        [
            "a.toml:2: orders.token: the secret's text is not valid here",
            "a.toml:3: orders.store: postgres://me:***@db/shop is none",
            "a.toml:4: orders.code: not plain",
        ]
    );
    let text = "[limits]\nworkers = \"http://me:pw4711@db\"\n";
    let found = faults(Loader::new().text("a.toml", text).load());
    assert!(found.len() == 1 && !found[0].contains("pw4711"), "{found:?}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_a_fault_only_if_it_is_ours() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let others = [(os(b"PS1"), os(b"\xff")), (os(b"\xfe"), os(b"x")), (os(b"SHOP__ORDERS__CODE"), os(b"c"))];
    let loaded = Loader::new().env_os(others.clone()).load::<Config>().unwrap();
    assert_eq!(loaded.value.orders.code, "c");
    let ours = [(os(b"SHOP__ORDERS__STORE"), os(b"sqlite:\xff")), (os(b"SHOP__\xff"), os(b"1"))];
    let found = faults(Loader::new().env_os(others).env_os(ours).load());
    assert_eq!(found, ["SHOP__ORDERS__STORE: is not UTF-8", "SHOP__\u{fffd}: is not UTF-8"]);
}

#[tokio::test]
async fn a_file_that_changed_is_read_once_it_rests_and_a_bad_one_changes_nothing() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Small {
        level: u8,
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, other) = (folder.path().join("app.toml"), folder.path().join("new.toml"));
    std::fs::write(&file, "level = 1").unwrap();
    let check = |small: &Small| match small.level {
        9 => vec![Violation::new("level", "is 9")],
        _ => Vec::new(),
    };
    let live = Loader::new().file(&file).live_files::<Small>(check).unwrap();
    let followed = tokio::spawn(live.clone().follow_files(std::time::Duration::from_millis(5)));
    let level = async |level: u8| {
        let mut changes = live.changes();
        while live.current().value.level != level {
            tokio::time::timeout(std::time::Duration::from_secs(60), changes.next()).await.unwrap();
        }
    };
    std::fs::write(&file, "level = 22").unwrap();
    level(22).await;
    for bad in ["level = 9", "level = ", "levle = 1"] {
        std::fs::write(&file, bad).unwrap();
        assert!(live.reload().is_err());
        assert_eq!(live.current().value.level, 22);
    }
    std::fs::remove_file(&file).unwrap();
    assert!(live.reload().unwrap_err().to_string().contains("cannot be read"));
    // As editors and deployments do it.
    std::fs::write(&other, "level = 3").unwrap();
    std::fs::rename(&other, &file).unwrap();
    level(3).await;
    followed.abort();
}
