//! The levels of the process's log, set while it runs. By itself, since a process has one subscriber.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

use shop_core::log::{FileConfig, LogConfig, LogError, Rotation, StdoutConfig, init};

#[test]
fn levels_are_set_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = FileConfig { dir: dir.path().to_owned(), rotation: Rotation::Never, keep: None };
    let config =
        LogConfig { stdout: StdoutConfig { enabled: false }, file: Some(file), ..LogConfig::default() };
    let guard = init(&config, "app", "1").unwrap();
    let levels = guard.levels().unwrap();
    let say = |number: u32| {
        tracing::debug!(number, "debug");
        tracing::info!(number, "info");
        tracing::debug!(target: "one", number, "of one");
    };
    say(1);
    levels.set("debug").unwrap();
    say(2);
    levels.set("off,one=debug").unwrap();
    say(3);
    assert!(matches!(levels.set("loud"), Err(LogError::Level(_))));
    say(4);
    levels.set("info").unwrap();
    say(5);
    drop(guard);
    let text = std::fs::read_to_string(dir.path().join("app.jsonl")).unwrap();
    let said: Vec<String> = text
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", event["number"], event["message"].as_str().unwrap())
        })
        .collect();
    assert_eq!(said, ["1 info", "2 debug", "2 info", "2 of one", "3 of one", "4 of one", "5 info"]);
}
