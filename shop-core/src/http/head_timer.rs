//! The two waits of a kept connection: for the next request to begin, and for a head that has begun to be whole.
//!
//! hyper has one timer for both, which it starts as soon as an answer is done. Were they one, a client that keeps connections
//! for less than it takes to lose a race would have to let slow heads in as long: so the timer that hyper is given knows whether
//! anything has come yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant as TokioInstant;

use super::connection::Connection;

/// hyper's timer for one connection, which it uses for nothing but the wait for a head.
#[derive(Debug)]
pub(crate) struct HeadTimer {
    pub(crate) connection: Arc<Connection>,
    /// From a head's first byte, or from the connection's first moment, to its last byte.
    pub(crate) header_timeout: Duration,
    /// From the end of an answer to the next head's first byte.
    pub(crate) idle_timeout: Duration,
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let first = self.connection.await_head();
        let patience = if first { self.header_timeout } else { self.idle_timeout };
        Box::pin(HeadSleep {
            sleep: Box::pin(tokio::time::sleep(patience)),
            connection: self.connection.clone(),
            header_timeout: self.header_timeout,
            begun: first,
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.header_timeout)
    }
}

/// hyper polls it whenever it has read and has no whole head yet.
struct HeadSleep {
    sleep: Pin<Box<tokio::time::Sleep>>,
    connection: Arc<Connection>,
    header_timeout: Duration,
    begun: bool,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.begun && this.connection.head_begun() {
            this.begun = true;
            this.sleep.as_mut().reset(TokioInstant::now() + this.header_timeout);
        }
        this.sleep.as_mut().poll(cx)
    }
}

impl Sleep for HeadSleep {}
