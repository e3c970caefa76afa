//! `[log.logstash]`: every fault is named.

use serde::{Deserialize, Serialize};
use shop_core::config::Loader;
use shop_core::log::{LogConfig, LogstashConfig, LogstashOverflow, check, faults};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    log: LogConfig,
}

fn load(text: &str) -> Result<LogstashConfig, String> {
    let loaded = Loader::new().text("shop.toml", text).load::<Config>();
    loaded.map(|loaded| loaded.value.log.logstash.unwrap()).map_err(|errors| errors.to_string())
}

#[test]
fn all_of_it_can_be_written_down() {
    let text = "[log.logstash]\nurl = [\"http://me:hunter2@a/in\", \"lumberjack://b\"]\noverflow = \"drop_by_level\"\n\
        block_for = \"1s\"\ncompression = 9\nmax_datagram = \"8KiB\"\nconnect_timeout = \"1s\"\nwrite_timeout = \"2s\"\n\
        ack_timeout = \"1m\"\n[log.logstash.spool]\ndir = \"spool\"\nmax_bytes = \"1GiB\"\nsync = \"0s\"\n";
    let logstash = load(text).unwrap();
    assert_eq!((logstash.url.len(), logstash.overflow), (2, LogstashOverflow::DropByLevel));
    assert_eq!(check(&LogConfig { logstash: Some(logstash.clone()), ..LogConfig::default() }).ok(), Some(()));
    let shown = format!("{logstash:?} {}", serde_json::to_string(&logstash).unwrap());
    assert!(shown.contains("http://me:***@a:80/in") && !shown.contains("hunter2"), "{shown}");
    let one = load("[log.logstash]\nurl = \"tcp://logs\"\n").unwrap();
    assert_eq!(one, LogstashConfig::new(vec!["tcp://logs:5959".parse().unwrap()]));
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    for (text, expected) in [
        ("[log.logstash]\nurll = \"tcp://a\"\n", "shop.toml:2: log.logstash.urll: unknown key"),
        ("[log.logstash]\ncompression = 3\n", "shop.toml:1: log.logstash.url: is missing"),
        ("[log.logstash]\nurl = [\"tcp://a\",\n\"ftp://b\"]\n", "shop.toml:3: log.logstash.url.1: ftp://"),
        (
            "[log.logstash]\nurl = \"https://me:hunter2@a\"\n",
            "shop.toml:2: log.logstash.url: this version sends",
        ),
        (
            "[log.logstash]\nurl = \"tcp://a\"\nspool = {}\n",
            "shop.toml:3: log.logstash.spool.dir: is missing",
        ),
        ("[log.logstash]\nurl = \"tcp://a\"\noverflow = \"x\"\n", "shop.toml:3: log.logstash.overflow: "),
    ] {
        let said = load(text).unwrap_err();
        assert!(said.lines().any(|line| line.starts_with(expected)), "{expected}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn what_cannot_work_is_named_by_its_key() {
    for (text, keys) in [
        ("url = []", &["log.logstash.url"][..]),
        ("url = [\"tcp://a\", \"lumberjack://b\"]", &["log.logstash.url"]),
        ("url = \"udp://a\"\n[log.logstash.spool]\ndir = \"x\"", &["log.logstash.spool"]),
        (
            "url = \"http://a\"\n[log.logstash.spool]\ndir = \"x\"\nmax_bytes = 9",
            &["log.logstash.spool.max_bytes"],
        ),
        (
            "url = \"http://a\"\ncompression = 10\nmax_datagram = \"64KiB\"\nack_timeout = \"0s\"\nwrite_timeout = \"0s\"\n\
             connect_timeout = \"0s\"",
            &[
                "log.logstash.connect_timeout",
                "log.logstash.write_timeout",
                "log.logstash.ack_timeout",
                "log.logstash.compression",
                "log.logstash.max_datagram",
            ],
        ),
    ] {
        let logstash = load(&format!("[log.logstash]\n{text}\n")).unwrap();
        let config = LogConfig { logstash: Some(logstash), level: "loud".into(), ..LogConfig::default() };
        let said: Vec<String> = faults(&config).iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), keys.len() + 1, "{said:?}");
        for (fault, key) in said.iter().skip(1).zip(keys) {
            assert!(fault.starts_with(&format!("{key}: ")), "{fault}");
        }
        let refused = shop_core::log::layer(&config, "shop", "1").unwrap_err().to_string();
        assert!(refused.starts_with("log."), "{refused}");
    }
}
