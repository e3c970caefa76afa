//! Who kills hosts, cuts and clogs links, and turns clocks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use turmoil::Sim;

use crate::hosts::{GATEWAYS, ORDERS, PRODUCTS};
use crate::run::{CLIENTS, ECHO, SLOWEST};
use crate::world::World;

/// A clock is wrong by at most so many milliseconds.
const MAX_SKEW: i64 = 40_000;

type Host = &'static str;

pub(crate) struct Chaos {
    world: Arc<World>,
    hosts: Vec<Host>,
    links: Vec<(Host, Host)>,
    /// The longest time between two misfortunes, in milliseconds.
    pace: u64,
    next: Duration,
    down: BTreeSet<Host>,
    /// What ends when.
    ends: Vec<(Duration, End)>,
}

#[derive(Clone, Copy)]
enum End {
    Start(Host),
    Mend(Host, Host),
}

fn pairs(some: &[Host], others: &[Host]) -> Vec<(Host, Host)> {
    some.iter().flat_map(|a| others.iter().map(|b| (*a, *b))).collect()
}

impl Chaos {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let [gateways, orders, products] = [GATEWAYS, ORDERS, PRODUCTS].map(|of| of.map(|(host, _)| host));
        let links = [
            pairs(&CLIENTS, &gateways),
            pairs(&gateways, &orders),
            pairs(&gateways, &products),
            pairs(&orders, &products),
            // Orders may ask products by way of a gateway.
            pairs(&orders, &gateways),
            pairs(&[ECHO], &products),
        ];
        Self {
            world: world.clone(),
            hosts: [gateways, orders, products].concat(),
            links: links.concat(),
            pace: 200 + world.below(3_000),
            next: Duration::ZERO,
            down: BTreeSet::new(),
            ends: Vec::new(),
        }
    }

    fn later(&self, most: u64) -> Duration {
        self.world.elapsed() + Duration::from_millis(self.world.below(most))
    }

    /// Between two steps of the world.
    pub(crate) fn rage(&mut self, sim: &mut Sim<'_>) {
        let now = self.world.elapsed();
        let (over, ends) = self.ends.drain(..).partition(|(at, _)| *at <= now);
        self.ends = ends;
        let over: Vec<(Duration, End)> = over;
        over.into_iter().for_each(|(_, end)| self.end(sim, end));
        if now >= self.next {
            self.next = self.later(self.pace);
            self.strike(sim);
        }
    }

    fn strike(&mut self, sim: &mut Sim<'_>) {
        let (a, b) = self.links[self.world.below(self.links.len() as u64) as usize];
        match self.world.below(13) {
            0..=3 => self.kill(sim),
            4..=5 => {
                self.world.note(format_args!("{a} - {b} is cut"));
                sim.partition(a, b);
            }
            6 => {
                let (a, b) = if self.world.below(2) == 0 { (a, b) } else { (b, a) };
                self.world.note(format_args!("{a} > {b} is cut"));
                sim.partition_oneway(a, b);
            }
            7..=8 => {
                self.world.note(format_args!("{a} - {b} is clogged"));
                sim.hold(a, b);
            }
            9..=10 => {
                let most = Duration::from_millis(100 + self.world.below(1_500));
                self.world.note(format_args!("{a} - {b} takes up to {most:?}"));
                sim.set_link_max_message_latency(a, b, most);
            }
            _ => {
                let clock = self.world.below(6) as usize;
                let to = self.world.below(2 * MAX_SKEW as u64) as i64 - MAX_SKEW;
                self.world.note(format_args!("clock {clock} jumps to {to}"));
                self.world.skew[clock].store(to, Ordering::Relaxed);
            }
        }
        self.ends.push((self.later(6_000), End::Mend(a, b)));
    }

    fn kill(&mut self, sim: &mut Sim<'_>) {
        let host = self.hosts[self.world.below(self.hosts.len() as u64) as usize];
        if !self.down.insert(host) {
            return;
        }
        self.world.note(format_args!("{host} dies"));
        // As when the power fails: nothing more is sent, and others learn of it when they ask. The runtime drops tasks in an
        // order that depends on all that the process ever ran, so what they sent on that way could not be repeated.
        let links: Vec<_> = self.links.iter().filter(|(a, b)| *a == host || *b == host).collect();
        links.iter().for_each(|(a, b)| sim.partition(*a, *b));
        sim.crash(host);
        links.iter().for_each(|(a, b)| sim.release(*a, *b));
        self.world.book.lock().unwrap().crashes += 1;
        // Often at once, so that old messages meet the new one.
        let most = if self.world.below(2) == 0 { 50 } else { 5_000 };
        self.ends.push((self.later(most), End::Start(host)));
    }

    fn end(&mut self, sim: &mut Sim<'_>, end: End) {
        match end {
            End::Start(host) => {
                if self.down.remove(host) {
                    self.world.note(format_args!("{host} starts"));
                    sim.bounce(host);
                }
            }
            // What was held back comes now.
            End::Mend(a, b) => {
                sim.release(a, b);
                sim.set_link_max_message_latency(a, b, SLOWEST);
            }
        }
    }

    /// Everything works from now on.
    pub(crate) fn calm(mut self, sim: &mut Sim<'_>) {
        self.world.note(format_args!("calm"));
        self.world.set_stormy(false);
        self.world.skew.iter().for_each(|skew| skew.store(0, Ordering::Relaxed));
        for host in self.hosts.clone() {
            self.end(sim, End::Start(host));
        }
        for (a, b) in self.links.clone() {
            self.end(sim, End::Mend(a, b));
        }
    }
}
