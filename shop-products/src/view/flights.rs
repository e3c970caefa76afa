use std::collections::VecDeque;

use shop_core::Timestamp;

use super::{StockView, Written};

/// A write of this service, from before its load until its rows are in the view. Unless it has landed or turned back, the
/// view drops its products at the end, even if the commit panics or is dropped: it is not known whether it was written.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    view: &'a StockView,
    number: u64,
    /// The view's at the load.
    epoch: u64,
    rows: Vec<Written>,
}

impl<'a> Flight<'a> {
    pub(super) fn new(view: &'a StockView, number: u64, epoch: u64) -> Self {
        Self { view, number, epoch, rows: Vec::new() }
    }

    /// What the commit that comes now makes of products.
    pub(crate) fn commits(&mut self, rows: Vec<Written>) {
        self.rows = rows;
    }

    /// It was committed, and it is this time.
    pub(crate) fn landed(mut self, now: Timestamp) {
        self.view.landed(self.number, self.epoch, std::mem::take(&mut self.rows), now);
    }

    /// It has surely written nothing.
    pub(crate) fn turned_back(mut self) {
        self.rows.clear();
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let doubtful: Vec<_> = self.rows.iter().map(|written| written.row.id()).collect();
        self.view.crashed(self.number, &doubtful);
    }
}

/// The writes of this service that may lack what others wrote to the same products at the same time: those that are on
/// their way, and those that ended so lately that the store may yet tell of them.
///
/// A row as this service wrote it is what its load found, and its own write. It is made good when the store tells of that
/// write, since others' writes make the told version higher. Until then it is true as of the load.
#[derive(Debug, Default)]
pub(super) struct Flights {
    number: u64,
    /// Number and begin.
    running: Vec<(u64, Timestamp)>,
    /// Begin and end, in the order of their ends.
    ended: VecDeque<(Timestamp, Timestamp)>,
}

impl Flights {
    /// More than these that have ended are counted as one: then a moment is told as earlier than it need be.
    const MOST: usize = 1_024;

    /// A write begins, on what was loaded after this time.
    pub(super) fn begin(&mut self, since: Timestamp) -> u64 {
        self.number += 1;
        self.running.push((self.number, since));
        self.number
    }

    /// A write has ended; `wrote`: at this time, and its rows are in the view.
    pub(super) fn end(&mut self, number: u64, wrote: Option<Timestamp>) {
        let Some(place) = self.running.iter().position(|(running, _)| *running == number) else { return };
        let (_, begun) = self.running.swap_remove(place);
        let Some(now) = wrote else { return };
        let is_full = self.ended.len() >= Self::MOST;
        match self.ended.back_mut().filter(|_| is_full) {
            Some(last) => *last = (begun.min(last.0), now.max(last.1)),
            None => self.ended.push_back((begun, now)),
        }
    }

    /// All that was committed before `at` was told. Up to when the rows of the view are so complete.
    pub(super) fn complete(&mut self, at: Timestamp) -> Timestamp {
        self.ended.retain(|(_, end)| *end >= at);
        let begins =
            self.ended.iter().map(|(begun, _)| *begun).chain(self.running.iter().map(|(_, begun)| *begun));
        begins.fold(at, Timestamp::min)
    }

    /// The rows of all that has ended are gone.
    pub(super) fn clear(&mut self) {
        self.ended.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_write_is_true_as_of_its_load_until_the_store_has_told_of_it() {
        let mut flights = Flights::default();
        assert_eq!(flights.complete(at(5)), at(5));
        let one = flights.begin(at(10));
        assert_eq!(flights.complete(at(20)), at(10), "on its way");
        flights.end(one, Some(at(30)));
        assert_eq!(flights.complete(at(25)), at(10), "not told yet");
        assert_eq!(flights.complete(at(30)), at(10), "perhaps not told yet");
        assert_eq!(flights.complete(at(31)), at(31));
        let failed = flights.begin(at(40));
        flights.end(failed, None);
        assert_eq!(flights.complete(at(50)), at(50));
    }

    #[test]
    fn many_are_counted_as_one_that_began_first_and_ended_last() {
        let mut flights = Flights::default();
        for n in 0..5_000 {
            let flight = flights.begin(at(n));
            flights.end(flight, Some(at(n + 1)));
        }
        assert!(flights.ended.len() <= Flights::MOST);
        assert_eq!(flights.complete(at(4_999)), at(1_023));
        assert_eq!(flights.complete(at(6_000)), at(6_000));
        flights.begin(at(7_000));
        flights.clear();
        assert_eq!(flights.complete(at(8_000)), at(7_000), "what is on its way is not gone");
    }
}
