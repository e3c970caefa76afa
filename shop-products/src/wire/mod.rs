//! What travels between the HTTP API and its REST client: the bodies that both sides must spell alike.

mod hold;
mod line;
mod reservation;
mod settle;
pub(crate) mod units;

pub(crate) use hold::HoldBody;
pub(crate) use line::CheckBody;
#[cfg(feature = "client")]
pub(crate) use line::LineBody;
#[cfg(feature = "http")]
pub(crate) use line::into_lines;
pub(crate) use reservation::{ReservationBody, ReservationPage};
#[cfg(feature = "http")]
pub(crate) use settle::OutcomeBody;
pub(crate) use settle::{OutcomesBody, SettleBody};
