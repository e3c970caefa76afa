//! Idle connections of one endpoint.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Conn;

/// Where an endpoint's idle connections wait: [`LocalPool`] for one thread, [`SharedPool`] for any.
///
/// # Contract
/// The connection given back last is taken first, so that those in excess grow old. None is handed out that has
/// waited longer than the idle time, and never more wait than the maximum.
///
/// Sealed: the connections are of the gateway's own kind.
pub trait Pool: sealed::Sealed + Clone + Debug + Unpin + 'static {}

pub(crate) mod sealed {
    use super::{Conn, Duration, Instant};

    pub trait Sealed {
        fn new(max_idle: usize, idle_timeout: Duration) -> Self
        where
            Self: Sized;
        #[allow(private_interfaces)]
        fn take(&self, now: Instant) -> Option<Box<Conn>>;
        #[allow(private_interfaces)]
        fn put(&self, conn: Box<Conn>);
        fn sweep(&self, now: Instant);
        fn idle(&self) -> usize;
    }
}

#[derive(Debug)]
struct Idle {
    conns: VecDeque<Box<Conn>>,
    max: usize,
    timeout: Duration,
}

impl Idle {
    fn new(max: usize, timeout: Duration) -> Self {
        Self { conns: VecDeque::new(), max, timeout }
    }

    fn take(&mut self, now: Instant) -> Option<Box<Conn>> {
        // One that was long in use lies behind others that are fresher: each is judged for itself.
        while let Some(mut conn) = self.conns.pop_back() {
            if now.saturating_duration_since(conn.last_used) < self.timeout {
                if let Some(shared) = conn.share() {
                    if !conn.is_open() {
                        continue;
                    }
                    conn.last_used = now;
                    self.conns.push_back(conn);
                    return Some(shared);
                }
                return Some(conn);
            }
        }
        None
    }

    fn put(&mut self, conn: Box<Conn>) {
        self.sweep(conn.last_used);
        if self.conns.len() >= self.max {
            self.conns.pop_front();
        }
        if self.max > 0 {
            self.conns.push_back(conn);
        }
    }

    fn sweep(&mut self, now: Instant) {
        while self
            .conns
            .front()
            .is_some_and(|conn| now.saturating_duration_since(conn.last_used) >= self.timeout)
        {
            self.conns.pop_front();
        }
    }
}

/// The pool of one thread: no lock, not `Send`.
#[derive(Debug, Clone)]
pub struct LocalPool(Rc<RefCell<Idle>>);

/// The pool of a multi-thread runtime.
#[derive(Debug, Clone)]
pub struct SharedPool(Arc<Mutex<Idle>>);

impl SharedPool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool for LocalPool {}
impl Pool for SharedPool {}

#[allow(private_interfaces)]
impl sealed::Sealed for LocalPool {
    fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self(Rc::new(RefCell::new(Idle::new(max_idle, idle_timeout))))
    }

    fn take(&self, now: Instant) -> Option<Box<Conn>> {
        self.0.borrow_mut().take(now)
    }

    fn put(&self, conn: Box<Conn>) {
        self.0.borrow_mut().put(conn);
    }

    fn sweep(&self, now: Instant) {
        self.0.borrow_mut().sweep(now);
    }

    fn idle(&self) -> usize {
        self.0.borrow().conns.len()
    }
}

#[allow(private_interfaces)]
impl sealed::Sealed for SharedPool {
    fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self(Arc::new(Mutex::new(Idle::new(max_idle, idle_timeout))))
    }

    fn take(&self, now: Instant) -> Option<Box<Conn>> {
        self.lock().take(now)
    }

    fn put(&self, conn: Box<Conn>) {
        self.lock().put(conn);
    }

    fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    fn idle(&self) -> usize {
        self.lock().conns.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;

    use super::sealed::Sealed as _;
    use super::*;
    use crate::upstream::EndpointAddr;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Connections to one listener. It need not accept them: the kernel does.
    struct Conns(TcpListener, Instant);

    impl Conns {
        async fn new() -> Self {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            Self(listener, Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        /// One that was last used at that second.
        async fn used_at(&self, seconds: u64) -> Box<Conn> {
            let addr = EndpointAddr::Ip(self.0.local_addr().unwrap());
            let mut conn = Conn::open(&addr, None, TIMEOUT).await.unwrap();
            conn.last_used = self.at(seconds);
            conn
        }
    }

    /// The second at which the connection was last used that the pool gives out.
    fn taken(pool: &impl Pool, conns: &Conns, seconds: u64) -> Option<u64> {
        let conn = pool.take(conns.at(seconds))?;
        Some(conn.last_used.duration_since(conns.1).as_secs())
    }

    async fn the_last_is_first_and_each_is_judged_for_itself(pool: impl Pool) {
        let conns = Conns::new().await;
        for used in [5, 6] {
            pool.put(conns.used_at(used).await);
        }
        // Its exchange began at 0 and took until now: it comes back last, and is too old.
        pool.put(conns.used_at(0).await);
        assert_eq!(pool.idle(), 3);
        assert_eq!(taken(&pool, &conns, 12), Some(6), "the fresh ones are still there");
        assert_eq!(pool.idle(), 1, "the old one is closed");
        assert_eq!(taken(&pool, &conns, 15), None, "10 s are too long");
        assert_eq!(pool.idle(), 0);
    }

    #[tokio::test]
    async fn a_connection_long_in_use_leaves_the_fresh_ones() {
        the_last_is_first_and_each_is_judged_for_itself(LocalPool::new(4, TIMEOUT)).await;
        the_last_is_first_and_each_is_judged_for_itself(SharedPool::new(4, TIMEOUT)).await;
    }

    #[tokio::test]
    async fn the_oldest_gives_way_when_there_are_too_many() {
        let conns = Conns::new().await;
        let pool = LocalPool::new(2, TIMEOUT);
        for used in [1, 2, 3] {
            pool.put(conns.used_at(used).await);
        }
        assert_eq!([taken(&pool, &conns, 4), taken(&pool, &conns, 4)], [Some(3), Some(2)]);
        assert_eq!(taken(&pool, &conns, 4), None);
        let none = LocalPool::new(0, TIMEOUT);
        none.put(conns.used_at(1).await);
        assert_eq!(none.idle(), 0);
    }
}
