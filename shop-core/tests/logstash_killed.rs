//! Events of a process that is killed: this binary starts itself as the child.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

#[path = "logstash/lumberjack.rs"]
mod lumberjack;
#[path = "logstash/receiver.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod receiver;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use receiver::{Fault, Receiver, Sink};
use shop_core::log::{ByteSize, HumanDuration, LogConfig, LogstashConfig, SpoolConfig, StdoutConfig, layer};
use tracing_subscriber::layer::SubscriberExt;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "child", url, dir, run] => child(url, Path::new(dir), run),
        // Anything else is an argument of the test runner.
        _ => {
            killed();
            println!("test logstash_killed ... ok");
        }
    }
}

/// Emits until it is killed, and says which events are safe.
fn child(url: &str, dir: &Path, run: &str) {
    let spool = SpoolConfig {
        dir: dir.to_owned(),
        max_bytes: ByteSize(64 << 20),
        sync: HumanDuration(Duration::from_secs(1)),
    };
    let logstash = LogstashConfig {
        ack_timeout: Duration::from_millis(500).into(),
        spool: Some(spool),
        ..LogstashConfig::new(vec![url.parse().expect("a URL")])
    };
    let config = LogConfig {
        stdout: StdoutConfig { enabled: false },
        logstash: Some(logstash),
        ..LogConfig::default()
    };
    let (layer, guard) = layer(&config, "shop", "1").expect("the log starts");
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    tracing::dispatcher::with_default(&dispatch, || {
        for n in 0..u64::from(run != "last") * u64::MAX {
            tracing::info!(n, run, "event");
            if n % 50 == 49 {
                while guard.stats().queued > 0 {
                    std::thread::yield_now();
                }
                println!("{n}");
            }
        }
    });
    // The last one only sends what the others have left.
    while guard.stats().spooled > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn killed() {
    let dir = tempfile::tempdir().unwrap();
    // Some faults for every run.
    let faults = [Fault::CloseAfter, Fault::Part(3), Fault::Slow, Fault::CloseWithin, Fault::Part(0)];
    let sink = Sink::with(&faults.repeat(20));
    let receiver = Receiver::start(lumberjack::serve, &sink);
    let url = format!("lumberjack://{}", receiver.address);
    let start = |run: &str, url: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", url]).arg(dir.path()).arg(run).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut safe = BTreeMap::new();
    for run in 0..20 {
        let away = format!("lumberjack://{}", receiver::nobody());
        // Every third one finds no receiver.
        let mut child = start(&run.to_string(), if run % 3 == 2 { &away } else { &url });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed at another point of its work each time, as the machine has it.
        let mut last = None;
        for _ in 0..=run * 3 {
            last = lines.next().map(|line| line.unwrap().parse::<u64>().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was dead counts as well.
        let said = lines.map_while(Result::ok).filter_map(|line| line.parse().ok());
        safe.insert(run.to_string(), said.last().or(last).unwrap());
    }
    assert!(start("last", &url).wait().unwrap().success());
    let mut runs = BTreeMap::<String, Vec<(u64, u64)>>::new();
    for event in sink.unique() {
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let run = runs.entry(event["run"].as_str().unwrap().to_owned()).or_default();
        run.push((number(&event["event"]["sequence"]), number(&event["n"])));
    }
    for (run, safe) in safe {
        let mut events = runs.remove(&run).unwrap_or_default();
        events.sort_unstable();
        assert!(events.len() as u64 > safe, "{run}: {} of {safe}", events.len());
        assert!(
            events.iter().zip(0..).all(|((sequence, n), expected)| (*sequence, *n) == (expected, expected)),
            "{run}: what is missing is only what was emitted last"
        );
    }
    assert!(runs.is_empty());
}
