//! `tcp://` and `udp://`.

use std::net::UdpSocket;
use std::time::Duration;

use shop_core::log::{ByteSize, LogstashConfig};

use crate::lines;
use crate::receiver::{Fault, Receiver, Sink, nobody, until};
use crate::sender::{Sender, impatient, to};

#[test]
fn tcp_sends_whole_lines_and_waits_for_one_that_is_down() {
    let (sink, address) = (Sink::default(), nobody());
    let sender = Sender::start(to("tcp", &[address]));
    sender.emit(0..3000);
    let receiver = Receiver::start_at(address, lines::serve, &sink);
    sink.wait_for(3000);
    // While nothing is sent a receiver that goes away is noticed.
    receiver.stop();
    let receiver = Receiver::start_at(address, lines::serve, &sink);
    sender.emit(3000..6000);
    sink.wait_for(6000);
    sink.is_complete(6000);
    assert_eq!(sink.all().len(), 6000);
    drop(sender);
    drop(receiver);
}

#[test]
fn tcp_goes_on_after_one_that_closes_in_the_middle() {
    let sink = Sink::with(&[Fault::Part(10), Fault::Part(20)]);
    let receiver = Receiver::start(lines::serve, &sink);
    let sender = Sender::start(to("tcp", &[receiver.address]));
    until("it has closed twice", || {
        sender.emit(0..1);
        sink.faults_left() == 0
    });
    until("what comes later arrives", || {
        sender.emit(1..2);
        sink.numbers().contains(&1)
    });
    let sequences = sink.unique().len();
    until("the rest too", || {
        sender.emit(2..3);
        sink.unique().len() > sequences + 20
    });
}

#[test]
fn tcp_leaves_one_that_hangs() {
    let (sink, hangs) = (Sink::default(), Sink::with(&[Fault::Hang; 100]));
    let (hangs, works) = (Receiver::start(lines::serve, &hangs), Receiver::start(lines::serve, &sink));
    let sender = Sender::start(impatient(to("tcp", &[hangs.address, works.address])));
    // More than the two ends of a connection take by themselves.
    let filler = "x".repeat(8000);
    sender.within(|| (0..5000).for_each(|n| tracing::info!(n, filler, "event")));
    until("the last event has arrived", || sink.numbers().last() == Some(&4999));
    assert_eq!(sender.stats().dropped, 0);
}

/// Keeps datagrams until a number of different events is there.
fn receive(socket: &UdpSocket, sink: &Sink, count: usize) {
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    until("datagrams", || {
        let mut datagram = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut datagram) {
            sink.keep(&datagram[..length]);
        }
        sink.numbers().len() >= count
    });
}

#[test]
fn udp_sends_a_datagram_an_event_and_drops_what_is_too_large() {
    let (socket, sink) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Sink::default());
    let address = socket.local_addr().unwrap();
    let sender = Sender::start(LogstashConfig { max_datagram: ByteSize(2000), ..to("udp", &[address]) });
    for n in 0..20 {
        sender.emit(n..n + 1);
        receive(&socket, &sink, n as usize + 1);
    }
    let filler = "x".repeat(3000);
    sender.within(|| tracing::info!(n = 99, filler, "event"));
    until("the large one is counted", || sender.stats().dropped == 1);
    sender.emit(20..21);
    receive(&socket, &sink, 21);
    until("it is told", || {
        receive(&socket, &sink, 21);
        sink.told() == 1
    });
    assert_eq!(sink.numbers(), (0..=20).collect::<Vec<_>>());
    assert!(sender.stats().written >= 21);
}

#[test]
fn udp_goes_on_when_somebody_listens_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, sink) = (socket.local_addr().unwrap(), Sink::default());
    drop(socket);
    let sender = Sender::start(to("udp", &[address]));
    sender.emit(0..10);
    until("it is noticed that nobody listens", || {
        sender.emit(0..1);
        sender.stats().queued > 0
    });
    let socket = UdpSocket::bind(address).unwrap();
    sender.emit(100..101);
    until("a later event arrives", || {
        receive(&socket, &sink, 0);
        sink.numbers().contains(&100)
    });
}
