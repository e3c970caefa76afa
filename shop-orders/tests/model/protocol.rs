//! The agents and what must hold.

use stateright::{Model, Property};

use crate::state::{Answer, Attempt, Recovery, Reservation, Row, State, Step};

/// The protocol as it is, or with one thing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Sound,
    /// A released reservation is deleted. This is sound.
    Forgets,
    ReleasesByClock,
    NoExpiredRow,
    DecidesBlindly,
}

#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) variant: Variant,
    /// Units at the start: 1 is scarce, 2 are enough for both buyers.
    pub(crate) stock: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    RivalBuys,
    Replay(usize),
    SendHold(usize, Attempt),
    Hold(usize),
    Decide(usize),
    SendCommit(usize),
    LateHold(Attempt),
    Commit(Attempt),
    Release(Attempt),
    ClockReleases(Attempt),
    Cancel(Attempt),
    RecoverySees(Attempt),
    RecoveryWrites(Attempt),
    RecoverySends(Attempt),
}

pub(crate) const SOUND_AFTER_RECOVERY: &str = "after recovery the stock is what the orders say";

impl Protocol {
    fn forgets(&self) -> bool {
        self.variant == Variant::Forgets
    }

    fn request_actions(state: &State, request: usize, actions: &mut Vec<Action>) {
        match state.requests[request].0 {
            Step::Start if state.rows.iter().any(|row| row.is_order()) => {
                actions.push(Action::Replay(request))
            }
            Step::Start => {
                let attempt = usize::from(state.rows[0] == Row::Expired);
                if state.rows[attempt] != Row::Expired {
                    actions.push(Action::SendHold(request, attempt));
                }
            }
            Step::Hold => actions.push(Action::Hold(request)),
            Step::Decide => actions.push(Action::Decide(request)),
            Step::Settle => actions.push(Action::SendCommit(request)),
            Step::Done => {}
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.stock)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.rival_bought && state.available >= 1 {
            actions.push(Action::RivalBuys);
        }
        for request in [0, 1] {
            Self::request_actions(state, request, actions);
        }
        for attempt in [0, 1] {
            if state.holds_sent[attempt] {
                actions.push(Action::LateHold(attempt));
            }
            if state.commits_sent[attempt] {
                actions.push(Action::Commit(attempt));
            }
            if state.releases_sent[attempt] {
                actions.push(Action::Release(attempt));
            }
            let is_held = state.reservations[attempt] == Reservation::Held;
            if self.variant == Variant::ReleasesByClock && is_held {
                actions.push(Action::ClockReleases(attempt));
            }
            if state.rows[attempt] == Row::Placed {
                actions.push(Action::Cancel(attempt));
            }
            match state.recovery[attempt] {
                Recovery::Idle if is_held => actions.push(Action::RecoverySees(attempt)),
                Recovery::Idle => {}
                Recovery::Seen => actions.push(Action::RecoveryWrites(attempt)),
                Recovery::Written => actions.push(Action::RecoverySends(attempt)),
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::RivalBuys => {
                state.available -= 1;
                state.rival_bought = true;
            }
            Action::Replay(request) => {
                state.requests[request].0 = Step::Done;
                state.told = true;
            }
            Action::SendHold(request, attempt) => {
                state.requests[request] = (Step::Hold, attempt);
                state.holds_sent[attempt] = true;
            }
            Action::Hold(request) => {
                let answer = state.hold(state.requests[request].1);
                state.requests[request].0 = if answer == Answer::Held { Step::Decide } else { Step::Done };
            }
            Action::Decide(request) => {
                let is_placed =
                    state.decide(state.requests[request].1, self.variant == Variant::DecidesBlindly);
                state.requests[request].0 = if is_placed { Step::Settle } else { Step::Done };
                state.told |= is_placed;
            }
            Action::SendCommit(request) => {
                let attempt = state.requests[request].1;
                state.requests[request].0 = Step::Done;
                state.commits_sent[attempt] = true;
            }
            Action::LateHold(attempt) => drop(state.hold(attempt)),
            Action::Commit(attempt) => state.commit(attempt),
            Action::Release(attempt) | Action::ClockReleases(attempt) => {
                state.release(attempt, self.forgets());
            }
            Action::Cancel(attempt) => {
                state.rows[attempt] = Row::Cancelled;
                state.releases_sent[attempt] = true;
            }
            Action::RecoverySees(attempt) => state.recovery[attempt] = Recovery::Seen,
            Action::RecoveryWrites(attempt) => {
                if state.rows[attempt] == Row::None && self.variant != Variant::NoExpiredRow {
                    state.rows[attempt] = Row::Expired;
                }
                state.recovery[attempt] = Recovery::Written;
            }
            Action::RecoverySends(attempt) => {
                match state.rows[attempt] {
                    Row::Placed => state.commits_sent[attempt] = true,
                    _ => state.releases_sent[attempt] = true,
                }
                state.recovery[attempt] = Recovery::Idle;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("never oversold", |_, state: &State| state.available >= 0),
            Property::always("one order for a key", |_, state: &State| {
                state.rows.iter().filter(|row| row.is_order()).count() <= 1
            }),
            Property::always("no 201 without its order", |_, state: &State| {
                !state.told || state.rows.iter().any(|row| row.is_order())
            }),
            Property::always("what is placed has its stock", |_, state: &State| {
                state.rows.iter().zip(&state.reservations).all(|(row, reservation)| {
                    *row != Row::Placed || matches!(reservation, Reservation::Held | Reservation::Committed)
                })
            }),
            Property::always(SOUND_AFTER_RECOVERY, |model: &Self, state: &State| {
                let end = state.recovered(model.forgets());
                let placed = end.rows.iter().filter(|row| **row == Row::Placed).count();
                let sold = usize::from(end.rival_bought) + placed;
                usize::try_from(end.available).is_ok_and(|left| left + sold == usize::from(model.stock))
            }),
            Property::sometimes("a second attempt places the order", |_, state: &State| {
                state.rows == [Row::Expired, Row::Placed]
            }),
            Property::sometimes("a late decision is refused", |_, state: &State| {
                state.rows[0] == Row::Expired && state.requests.contains(&(Step::Done, 0)) && !state.told
            }),
        ]
    }
}
