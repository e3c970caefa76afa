//! What does not fit is dropped as the policy says, counted exactly and told in the stream.

use std::time::{Duration, Instant};

use shop_core::log::{ByteSize, LogConfig, LogstashConfig, LogstashOverflow};

use crate::lumberjack;
use crate::receiver::{Receiver, Sink, nobody, until};
use crate::sender::{Sender, config, spool, to};

/// A queue of 64 KiB, and no receiver.
fn full(logstash: LogstashConfig) -> Sender {
    Sender::start_with(LogConfig { queue: ByteSize(64 << 10), logstash: Some(logstash), ..config() })
}

#[test]
fn a_full_spool_and_queue_drop_and_every_drop_is_told() {
    for with_spool in [true, false] {
        let (dir, sink, address) = (tempfile::tempdir().unwrap(), Sink::default(), nobody());
        let logstash = LogstashConfig {
            spool: with_spool.then(|| spool(dir.path(), 256 << 10)),
            ..to("lumberjack", &[address])
        };
        let sender = full(logstash);
        let mut emitted = 0;
        for outage in 1..=3 {
            let before = sender.stats().dropped;
            let filler = "x".repeat(1000);
            sender.within(|| (emitted..emitted + 2000).for_each(|n| tracing::info!(n, filler, "event")));
            emitted += 2000;
            let stats = sender.stats();
            assert!(stats.dropped > before + 1000, "{stats:?}");
            let receiver = Receiver::start_at(address, lumberjack::serve, &sink);
            until("what was not dropped has arrived", || {
                let stats = sender.stats();
                stats.queued + stats.spooled == 0
            });
            // The next event finds that there is room to tell.
            sender.emit(emitted..emitted + 1);
            emitted += 1;
            until("the stream has told", || sink.told() == sender.stats().dropped);
            let reports =
                sink.unique().iter().filter(|event| event["event"]["action"] == "log.dropped").count();
            assert!(reports >= outage);
            let stats = sender.stats();
            assert_eq!(sink.numbers().len() as u64, emitted - stats.dropped);
            let highest =
                sink.unique().iter().map(|event| event["event"]["sequence"].as_u64().unwrap()).max();
            assert_eq!(highest, Some(emitted + reports as u64 - 1), "what was dropped is the only gap");
            assert_eq!(sink.unique().len() as u64, emitted + reports as u64 - stats.dropped);
            receiver.stop();
        }
    }
}

#[test]
fn what_matters_more_is_dropped_later() {
    let (sink, address) = (Sink::default(), nobody());
    let overflow = LogstashOverflow::DropByLevel;
    let sender = full(LogstashConfig { overflow, ..to("lumberjack", &[address]) });
    let filler = "x".repeat(500);
    sender.within(|| {
        (0..1000).for_each(|n| tracing::debug!(n, filler, "detail"));
        (1000..2000).for_each(|n| tracing::info!(n, filler, "info"));
        (2000..2010).for_each(|n| tracing::warn!(n, "warning"));
        (2010..2015).for_each(|n| tracing::info!(target: "orders::access", n, "access"));
        (2015..2020).for_each(|n| tracing::error!(n, "error"));
    });
    let dropped = sender.stats().dropped;
    let _receiver = Receiver::start_at(address, lumberjack::serve, &sink);
    sink.wait_for(2020 - dropped as usize);
    let numbers = sink.numbers();
    assert_eq!(numbers.iter().filter(|n| **n >= 2000).count(), 20, "those that matter have all arrived");
    let kept = |from, to| numbers.iter().filter(|n| (from..to).contains(*n)).count();
    assert!(kept(0, 1000) < 500 && kept(1000, 2000) < 500);
}

#[test]
fn blocking_waits_for_room_and_an_outage_costs_one_wait() {
    let (sink, address) = (Sink::default(), nobody());
    let block = |time| LogstashConfig {
        overflow: LogstashOverflow::Block,
        block_for: Duration::from_millis(time).into(),
        ..to("lumberjack", &[address])
    };
    let filler = "x".repeat(1000);
    let sender = full(block(200));
    let since = Instant::now();
    sender.within(|| (0..2000).for_each(|n| tracing::info!(n, filler, "event")));
    let (took, dropped) = (since.elapsed(), sender.stats().dropped);
    assert!(
        dropped > 1000 && took >= Duration::from_millis(200) && took < Duration::from_secs(20),
        "{took:?}"
    );
    drop(sender);
    let _receiver = Receiver::start_at(address, lumberjack::serve, &sink);
    let sender = full(block(60_000));
    sender.within(|| (0..5000).for_each(|n| tracing::info!(n, filler, "event")));
    sink.wait_for(5000);
    assert_eq!(sender.stats().dropped, 0);
}

#[test]
fn the_sequence_has_no_gap_that_another_output_made() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::default());
    let receiver = Receiver::start(lumberjack::serve, &sink);
    let file = shop_core::log::FileConfig {
        dir: dir.path().to_owned(),
        rotation: shop_core::log::Rotation::Never,
        keep: None,
    };
    let sender = full(LogstashConfig { ..to("lumberjack", &[nobody()]) });
    drop(sender);
    let both = LogConfig {
        queue: ByteSize(64 << 10),
        file: Some(file),
        logstash: Some(to("lumberjack", &[receiver.address])),
        ..config()
    };
    let sender = Sender::start_with(both);
    let filler = "x".repeat(4000);
    sender.within(|| (0..2000).for_each(|n| tracing::info!(n, filler, "event")));
    drop(sender);
    let file = std::fs::read_to_string(dir.path().join("shop.jsonl")).unwrap();
    let file: Vec<serde_json::Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (name, events) in [("logstash", sink.unique()), ("file", file)] {
        let told: u64 = events
            .iter()
            .filter(|event| event["shop"]["output"] == name)
            .filter_map(|event| event["shop"]["dropped"].as_u64())
            .sum();
        let highest = events.iter().map(|event| event["event"]["sequence"].as_u64().unwrap()).max().unwrap();
        assert_eq!(events.len() as u64 + told, highest + 1, "{name}");
    }
}
