//! One thread a core, each with a runtime, a listener and pools of its own.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZero;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use shop_core::drain::{Drain, accept_until};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle as TaskHandle, spawn_local};

use super::SWEEP;
use super::conn::{ConnSettings, serve_tcp};
use super::front::{Front, serve_behind};
use super::unix::{self, SocketFile, accept_unix_until};
use crate::config::{ListenAddr, ListenConfig};
use crate::gateway::{GatewayPlan, LocalGateway};
use crate::upstream::Io;

const BACKLOG: i32 = 1024;

/// Bound listeners, one set a worker: nothing is accepted yet.
#[derive(Debug)]
pub struct Server {
    /// Of each worker, a listener for each address.
    listeners: Vec<Vec<Bound>>,
    addrs: Vec<SocketAddr>,
    sockets: Vec<SocketFile>,
    config: ListenConfig,
}

#[derive(Debug)]
enum Bound {
    Tcp(StdListener),
    Unix(StdUnixListener),
}

/// A running [`Server`]. Dropping it cuts off all connections.
#[derive(Debug)]
pub struct ServerHandle {
    addrs: Vec<SocketAddr>,
    _sockets: Vec<SocketFile>,
    workers: Vec<Worker>,
    stop: watch::Sender<Stop>,
}

#[derive(Debug)]
struct Worker {
    thread: Option<JoinHandle<()>>,
    done: oneshot::Receiver<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stop {
    Run,
    Drain,
    Abort,
}

impl Server {
    /// Binds the configuration's addresses, for as many workers as it says.
    ///
    /// # Errors
    /// When an address cannot be bound, as when another process has it: with several workers the port is shared
    /// between them (`SO_REUSEPORT`), but not with a second gateway.
    pub fn bind(config: &ListenConfig) -> io::Result<Self> {
        let workers = match config.workers {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            n => n,
        };
        let mut server =
            Self { listeners: Vec::new(), addrs: Vec::new(), sockets: Vec::new(), config: config.clone() };
        server.listeners.resize_with(workers, Vec::new);
        for entry in &config.listen {
            let mut addr = match &entry.address {
                ListenAddr::Tcp(addr) => *addr,
                ListenAddr::Unix(path) => {
                    let (listener, file) = unix::bind(path)?;
                    server.sockets.push(file);
                    for worker in &mut server.listeners {
                        worker.push(Bound::Unix(listener.try_clone()?));
                    }
                    continue;
                }
            };
            if workers > 1 {
                // Shared ports would let a second gateway join unnoticed; a bind that does not share finds it.
                addr = listener(addr, false)?.local_addr()?;
            }
            for worker in &mut server.listeners {
                let bound = listener(addr, workers > 1)?;
                addr = bound.local_addr()?;
                worker.push(Bound::Tcp(bound));
            }
            server.addrs.push(addr);
        }
        Ok(server)
    }

    /// The addresses bound, in the order of the configuration; of Unix sockets none.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Starts the workers, each with a gateway of its own. Services of the same process run on the workers' runtimes.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made, or the plan has no TLS section of a name that an address has.
    pub fn start(self, plan: &GatewayPlan) -> io::Result<ServerHandle> {
        let (stop, _) = watch::channel(Stop::Run);
        let fronts: Vec<_> =
            self.config.listen.iter().map(|entry| Front::new(entry, plan)).collect::<io::Result<_>>()?;
        let mut handle =
            ServerHandle { addrs: self.addrs, _sockets: self.sockets, workers: Vec::new(), stop };
        for (index, listeners) in self.listeners.into_iter().enumerate() {
            let listeners: Vec<_> = listeners.into_iter().zip(fronts.clone()).collect();
            let (plan, stop) = (plan.clone(), handle.stop.subscribe());
            let (ready_tx, ready) = mpsc::channel();
            let (done_tx, done) = oneshot::channel();
            let thread = thread::Builder::new().name(format!("gateway-{index}")).spawn(move || {
                let runtime =
                    match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                        Ok(runtime) => runtime,
                        Err(e) => return drop(ready_tx.send(Err(e))),
                    };
                let clean = runtime.block_on(work(listeners, &plan, index == 0, stop, ready_tx));
                // Cuts off what still runs.
                drop(runtime);
                // Nobody may be waiting for it any more.
                let _ = done_tx.send(clean);
            })?;
            // If a later worker fails, the handle's end stops those before it.
            handle.workers.push(Worker { thread: Some(thread), done });
            ready.recv().map_err(|_| io::Error::other("a worker ended before it began"))??;
        }
        Ok(handle)
    }
}

/// A worker's life. True if it ended with no connection cut off.
async fn work(
    listeners: Vec<(Bound, Option<Front>)>,
    plan: &GatewayPlan,
    is_first: bool,
    mut stop: watch::Receiver<Stop>,
    ready: mpsc::Sender<io::Result<()>>,
) -> bool {
    let gateway = plan.local_gateway();
    let drain = Drain::default();
    let listeners: io::Result<Vec<_>> = {
        let settings = Settings::new(gateway.clone());
        let worker =
            Accepting { gateway: gateway.clone(), settings, drain: drain.clone(), stop: stop.clone() };
        listeners.into_iter().map(|(bound, front)| worker.clone().on(bound, front)).collect()
    };
    let accepting = match listeners {
        Ok(accepting) => accepting,
        Err(e) => {
            // The one who waits for this is the one who started the worker.
            let _ = ready.send(Err(e));
            return false;
        }
    };
    let _ = ready.send(Ok(()));
    if is_first {
        plan.watch_files();
    }
    spawn_local(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            gateway.sweep();
        }
    });

    // An error is a handle that is gone: the same as an abort.
    let asked = stop.wait_for(|stop| *stop != Stop::Run).await.map_or(Stop::Abort, |stop| *stop);
    for task in accepting {
        // It stops at the same word. Its listener is closed when this returns; if it panicked, that has been reported.
        let _ = task.await;
    }
    if asked == Stop::Abort {
        return false;
    }
    drain.start();
    let mut aborted = pin!(stop.wait_for(|stop| *stop == Stop::Abort));
    let mut finished = pin!(drain.finished());
    poll_fn(|cx| {
        if finished.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        aborted.as_mut().poll(cx).map(|_| false)
    })
    .await
}

/// The settings of connections, made anew when the plan has changed.
#[derive(Clone)]
struct Settings {
    gateway: LocalGateway,
    made: Rc<RefCell<(u64, ConnSettings)>>,
}

impl Settings {
    fn new(gateway: LocalGateway) -> Self {
        let version = gateway.plan().version();
        let made = ConnSettings::new(&gateway.plan().current().config.gateway);
        Self { gateway, made: Rc::new(RefCell::new((version, made))) }
    }

    fn now(&self) -> ConnSettings {
        let (plan, mut made) = (self.gateway.plan(), self.made.borrow_mut());
        let version = plan.version();
        if made.0 != version {
            *made = (version, ConnSettings::new(&plan.current().config.gateway));
        }
        made.1.clone()
    }
}

/// What a worker's listeners share.
#[derive(Clone)]
struct Accepting {
    gateway: LocalGateway,
    settings: Settings,
    drain: Drain,
    stop: watch::Receiver<Stop>,
}

impl Accepting {
    /// Accepts until the worker stops, in a task.
    fn on(self, bound: Bound, front: Option<Front>) -> io::Result<TaskHandle<()>> {
        let Self { gateway, settings, drain, mut stop } = self;
        let stopped = async move { drop(stop.wait_for(|stop| *stop != Stop::Run).await) };
        let behind = |front: Option<Front>| {
            let (gateway, settings, drain) = (gateway.clone(), settings.clone(), drain.clone());
            move |stream: Box<dyn Io>, addr| {
                let (gateway, settings) = (gateway.clone(), settings.now());
                spawn_local(serve_behind(front.clone(), stream, addr, gateway, settings, drain.join()));
            }
        };
        Ok(match bound {
            Bound::Unix(listener) => {
                let listener = UnixListener::from_std(listener)?;
                let serve = behind(front);
                spawn_local(accept_unix_until(listener, stopped, move |stream| serve(Box::new(stream), None)))
            }
            Bound::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                if front.is_some() {
                    let serve = behind(front);
                    spawn_local(accept_until(listener, stopped, move |stream, peer| {
                        // Fails only for a socket that is gone; reading from it will say so.
                        let _ = stream.set_nodelay(true);
                        serve(Box::new(stream), Some(peer));
                    }))
                } else {
                    spawn_local(accept_until(listener, stopped, move |stream, peer| {
                        spawn_local(serve_tcp(stream, peer, gateway.clone(), settings.now(), drain.join()));
                    }))
                }
            }
        })
    }
}

/// A listener that is not yet part of a runtime.
fn listener(addr: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}"));
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() {
        // Each family is listened to only where it is asked for.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into()).map_err(named)?;
    socket.listen(BACKLOG).map_err(named)?;
    Ok(socket.into())
}

impl ServerHandle {
    /// The addresses that it listens on, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Accepts no more, lets the requests that run or have begun to come finish within `deadline`, and cuts off those
    /// that do not. True if every request had finished.
    ///
    /// # Cancel safety
    /// Dropping the future cuts off all connections at once.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        self.stop.send_replace(Stop::Drain);
        let deadline = tokio::time::Instant::now() + deadline;
        let mut drained = true;
        for worker in &mut self.workers {
            match tokio::time::timeout_at(deadline, &mut worker.done).await {
                // A worker that panicked tells nothing.
                Ok(outcome) => drained &= outcome.unwrap_or(false),
                Err(_elapsed) => {
                    self.stop.send_replace(Stop::Abort);
                    drained = false;
                    let _ = (&mut worker.done).await;
                }
            }
        }
        drained
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Abort);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A worker that panicked has been reported by the panic hook.
                let _ = thread.join();
            }
        }
    }
}
