//! `http://` and `lumberjack://`: at least once, whatever the receiver does.

use shop_core::log::LogstashConfig;

use crate::receiver::{Fault, Receiver, Serve, Sink, nobody, until};
use crate::sender::{Sender, config, impatient, spool, to};
use crate::{http, lumberjack};

const FAULTS: [Fault; 13] = [
    Fault::CloseWithin,
    Fault::CloseAfter,
    Fault::Part(0),
    Fault::Part(1),
    Fault::Part(7),
    Fault::Silent,
    Fault::Hang,
    Fault::Slow,
    Fault::Status(429),
    Fault::Status(500),
    Fault::Status(401),
    Fault::TooMuch,
    Fault::Nonsense,
];

/// Both protocols, with a spool and without one, and as a list.
fn each(test: impl Fn(&dyn Fn(&[std::net::SocketAddr]) -> LogstashConfig, Serve)) {
    for (scheme, serve) in [("lumberjack", lumberjack::serve as Serve), ("http", http::serve as Serve)] {
        for with_spool in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let config = |addresses: &[std::net::SocketAddr]| LogstashConfig {
                compression: if with_spool { 3 } else { 0 },
                spool: with_spool.then(|| spool(dir.path(), 16 << 20)),
                ..to(scheme, addresses)
            };
            test(&config, serve);
        }
    }
}

#[test]
fn all_events_arrive_from_every_thread_and_once() {
    each(|config, serve| {
        let sink = Sink::default();
        let receiver = Receiver::start(serve, &sink);
        let sender = Sender::start(config(&[receiver.address]));
        std::thread::scope(|scope| {
            for part in 0..4 {
                let sender = &sender;
                scope.spawn(move || sender.emit(part * 5000..(part + 1) * 5000));
            }
        });
        sink.wait_for(20_000);
        until("all is acknowledged", || sender.stats().written == 20_000);
        let stats = sender.stats();
        assert_eq!((stats.dropped, stats.failed, stats.queued, stats.spooled), (0, 0, 0, 0));
        sink.is_complete(20_000);
        assert_eq!(sink.all().len(), 20_000, "without a fault nothing comes twice");
    });
}

#[test]
fn no_fault_of_the_receiver_loses_an_event() {
    each(|config, serve| {
        for fault in FAULTS {
            let sink = Sink::with(&[fault, fault]);
            let receiver = Receiver::start(serve, &sink);
            let sender = Sender::start(impatient(config(&[receiver.address])));
            sender.emit(0..300);
            sink.wait_for(300);
            sender.emit(300..600);
            sink.wait_for(600);
            until("all is acknowledged", || sender.stats().written == 600);
            assert_eq!(sender.stats().dropped, 0);
            sink.is_complete(600);
            assert_eq!(sink.faults_left(), 0, "{fault:?}");
        }
    });
}

#[test]
fn one_that_is_down_at_the_start_and_goes_down_again_and_again_gets_all() {
    each(|config, serve| {
        let (sink, address) = (Sink::default(), nobody());
        let sender = Sender::start(config(&[address]));
        sender.emit(0..100);
        for round in 1..5 {
            let receiver = Receiver::start_at(address, serve, &sink);
            sink.wait_for(round * 1000 - 900);
            // It goes down while events come.
            std::thread::scope(|scope| {
                scope.spawn(|| sender.emit(round as u64 * 1000 - 900..round as u64 * 1000 + 100));
                sink.wait_for(round * 1000 - 800);
                receiver.stop();
            });
        }
        let _receiver = Receiver::start_at(address, serve, &sink);
        sink.wait_for(4100);
        sink.is_complete(4100);
    });
}

#[test]
fn the_next_one_stands_in_for_one_that_is_down_or_hangs() {
    each(|config, serve| {
        let sink = Sink::default();
        let (hangs, works) = (Sink::with(&[Fault::Hang; 100]), Receiver::start(serve, &sink));
        let hangs = Receiver::start(serve, &hangs);
        let sender = Sender::start(impatient(config(&[nobody(), hangs.address, works.address])));
        sender.emit(0..500);
        sink.wait_for(500);
        sink.is_complete(500);
        // And back again when that goes.
        let again = Receiver::start(serve, &sink);
        drop((hangs, works));
        drop(sender);
        let sender = Sender::start(config(&[nobody(), again.address]));
        sender.emit(500..600);
        sink.wait_for(600);
    });
}

#[test]
fn what_http_refuses_is_found_dropped_and_told_and_the_rest_arrives() {
    let sink = Sink::refusing("\"n\":77}", 40_000);
    let receiver = Receiver::start(http::serve, &sink);
    let dir = tempfile::tempdir().unwrap();
    let logstash =
        LogstashConfig { spool: Some(spool(dir.path(), 16 << 20)), ..to("http", &[receiver.address]) };
    let sender = Sender::start(logstash);
    sender.emit(0..1000);
    sink.wait_for(999);
    until("the refused one is counted", || sender.stats().dropped == 1);
    sender.emit(1000..1001);
    sink.wait_for(1000);
    assert_eq!(sender.stats().dropped, 1);
    drop(sender);
    assert_eq!(sink.told(), 1);
    assert_eq!(sink.numbers(), (0..=1000).filter(|n| *n != 77).collect::<Vec<_>>());
}

#[test]
fn what_a_spool_has_is_sent_by_the_next_process_and_nobody_waits_for_a_receiver_that_is_down() {
    let dir = tempfile::tempdir().unwrap();
    let logstash =
        |address| LogstashConfig { spool: Some(spool(dir.path(), 16 << 20)), ..to("lumberjack", &[address]) };
    let sink = Sink::default();
    for run in 0..3 {
        let sender = Sender::start(logstash(nobody()));
        assert_eq!(sender.stats().spooled, run * 1000);
        sender.emit(run * 1000..(run + 1) * 1000);
        let since = std::time::Instant::now();
        drop(sender);
        assert!(since.elapsed() < std::time::Duration::from_secs(4), "{:?}", since.elapsed());
    }
    let receiver = Receiver::start(lumberjack::serve, &sink);
    let sender = Sender::start(logstash(receiver.address));
    sink.wait_for(3000);
    until("all is acknowledged", || sender.stats().spooled == 0);
    assert_eq!(sink.numbers(), (0..3000).collect::<Vec<_>>());
    assert_eq!(sink.all().len(), 3000);
    let again = shop_core::log::layer(
        &shop_core::log::LogConfig { logstash: Some(logstash(receiver.address)), ..config() },
        "shop",
        "1",
    );
    assert!(again.unwrap_err().to_string().contains("spool"), "a spool has one process");
}

#[test]
fn the_end_of_a_process_flushes_what_was_emitted_last() {
    each(|config, serve| {
        let sink = Sink::with(&[Fault::CloseAfter]);
        let receiver = Receiver::start(serve, &sink);
        let sender = Sender::start(config(&[receiver.address]));
        sender.emit(0..5000);
        drop(sender);
        sink.is_complete(5000);
    });
}
