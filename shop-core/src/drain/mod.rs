//! The end of a server that cuts no request short.
//!
//! When a server is told to end, requests are on their way in places where nobody has read them: in the kernel's queue of
//! connections, in the sockets, or half of a head in a buffer. Their clients have sent them to a server that was there. So:
//!
//! 1. [`accept_until`] takes the connections that the kernel has accepted by itself, and closes the listener only then. Each
//!    gets its [`Ticket`] where it is accepted: none is forgotten between the listener and its task.
//! 2. [`Drain::start`] wakes every connection. Each reads what has come by [`read_arrived`], finishes what it has begun to
//!    read, says `connection: close` on its answers, and closes.
//! 3. [`Drain::finished`] returns when the last ticket is dropped.

mod accept;
mod arrived;
mod ticket;

pub use accept::accept_until;
pub use arrived::{Arrived, nothing_arrived, read_arrived};
pub use ticket::{Drain, Ticket};
