//! What the two databases hold, and what is under way between them.

/// An attempt of the key: the first or the second.
pub(crate) type Attempt = usize;

/// A reservation, as products have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reservation {
    None,
    Held,
    Committed,
    Released,
}

/// The row that decides, as orders have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    None,
    Placed,
    Cancelled,
    Expired,
}

impl Row {
    pub(crate) fn is_order(self) -> bool {
        matches!(self, Self::Placed | Self::Cancelled)
    }
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Start,
    Hold,
    Decide,
    Settle,
    Done,
}

/// Where recovery is with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Recovery {
    Idle,
    Seen,
    Written,
}

/// What products answer to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Held,
    Short,
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) available: i8,
    pub(crate) rival_bought: bool,
    pub(crate) reservations: [Reservation; 2],
    pub(crate) rows: [Row; 2],
    /// Messages that were ever sent, and so may arrive at any time.
    pub(crate) holds_sent: [bool; 2],
    pub(crate) commits_sent: [bool; 2],
    pub(crate) releases_sent: [bool; 2],
    /// Two requests with the same key.
    pub(crate) requests: [(Step, Attempt); 2],
    pub(crate) recovery: [Recovery; 2],
    /// The client has a 201.
    pub(crate) told: bool,
}

impl State {
    pub(crate) fn new(stock: u8) -> Self {
        Self {
            available: i8::try_from(stock).unwrap(),
            rival_bought: false,
            reservations: [Reservation::None; 2],
            rows: [Row::None; 2],
            holds_sent: [false; 2],
            commits_sent: [false; 2],
            releases_sent: [false; 2],
            requests: [(Step::Start, 0); 2],
            recovery: [Recovery::Idle; 2],
            told: false,
        }
    }

    /// The products side, one transaction.
    pub(crate) fn hold(&mut self, attempt: Attempt) -> Answer {
        match self.reservations[attempt] {
            Reservation::Held | Reservation::Committed => Answer::Held,
            Reservation::Released => Answer::Gone,
            Reservation::None if self.available < 1 => Answer::Short,
            Reservation::None => {
                self.available -= 1;
                self.reservations[attempt] = Reservation::Held;
                Answer::Held
            }
        }
    }

    pub(crate) fn commit(&mut self, attempt: Attempt) {
        if self.reservations[attempt] == Reservation::Held {
            self.reservations[attempt] = Reservation::Committed;
        }
    }

    pub(crate) fn release(&mut self, attempt: Attempt, forgets: bool) {
        let gone = if forgets { Reservation::None } else { Reservation::Released };
        match self.reservations[attempt] {
            Reservation::Held | Reservation::Committed => {
                self.available += 1;
                self.reservations[attempt] = gone;
            }
            Reservation::None => self.reservations[attempt] = gone,
            Reservation::Released => {}
        }
    }

    /// The orders side: one insert of the placed row; the reservation is unique, and so is a key's live row.
    pub(crate) fn decide(&mut self, attempt: Attempt, blindly: bool) -> bool {
        if self.rows[attempt] == Row::Placed {
            return true;
        }
        let is_taken = self.rows[attempt] != Row::None && !blindly;
        if is_taken || self.rows[1 - attempt].is_order() {
            return false;
        }
        self.rows[attempt] = Row::Placed;
        true
    }

    /// No more crashes: what was sent arrives, and recovery works until nothing is held.
    pub(crate) fn recovered(&self, forgets: bool) -> Self {
        let mut state = self.clone();
        for _ in 0..20 {
            let before = state.clone();
            for attempt in [0, 1] {
                if state.commits_sent[attempt] {
                    state.commit(attempt);
                }
                if state.releases_sent[attempt] {
                    state.release(attempt, forgets);
                }
                if state.reservations[attempt] == Reservation::Held {
                    if state.rows[attempt] == Row::None {
                        state.rows[attempt] = Row::Expired;
                    }
                    match state.rows[attempt] {
                        Row::Placed => state.commits_sent[attempt] = true,
                        _ => state.releases_sent[attempt] = true,
                    }
                }
            }
            if state == before {
                break;
            }
        }
        state
    }
}
