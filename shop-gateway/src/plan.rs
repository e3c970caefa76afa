//! A checked configuration that can be swapped while requests run.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Serialize;

use crate::config::{ConfigErrors, GatewayConfig, ListenConfig};
use crate::engine::{Blueprint, Engine};
use crate::upstream::{LocalPool, Pool, SharedPool};

/// What a [reload](crate::GatewayPlan::reload) has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// Whether the routes, or their order, are others.
    pub routes: bool,
    /// Whether what a client may cost is otherwise.
    pub limits: bool,
    /// The upstreams that are new, gone or changed. All others keep their connections.
    pub upstreams: Vec<String>,
    /// The keys that differ and wait for a restart.
    pub restart: Vec<String>,
}

/// What all gateways of a plan go by.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Counts the swaps, so that nobody takes the lock for what it has.
    version: AtomicU64,
    current: RwLock<Arc<Blueprint>>,
    /// Of who swaps.
    swapping: Mutex<()>,
    /// As it was at first.
    listen: ListenConfig,
}

impl Plan {
    pub(crate) fn new(blueprint: Blueprint) -> Self {
        let listen = blueprint.config.gateway.clone();
        Self {
            version: AtomicU64::new(0),
            current: RwLock::new(Arc::new(blueprint)),
            swapping: Mutex::new(()),
            listen,
        }
    }

    pub(crate) fn listen(&self) -> &ListenConfig {
        &self.listen
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<Blueprint> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Swaps the configuration, or leaves all as it is.
    pub(crate) fn swap(&self, mut config: GatewayConfig) -> Result<Reloaded, ConfigErrors> {
        let _one_at_a_time = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        config.validate_with(&before.services.keys().cloned().collect())?;
        let old = &before.config;
        let mut done = Reloaded {
            routes: old.routes != config.routes,
            limits: old.gateway.limits != config.gateway.limits,
            ..Reloaded::default()
        };
        let names = old.upstreams.keys().chain(config.upstreams.keys());
        let mut changed: Vec<String> =
            names.filter(|name| old.upstreams.get(*name) != config.upstreams.get(*name)).cloned().collect();
        changed.sort();
        changed.dedup();
        done.upstreams = changed;
        let (was, is) = (&old.gateway, &mut config.gateway);
        for (key, differs) in [
            ("gateway.listen", was.listen != is.listen),
            ("gateway.workers", was.workers != is.workers),
            ("gateway.half_close", was.half_close != is.half_close),
            ("gateway.tls", was.tls != is.tls),
        ] {
            if differs {
                done.restart.push(key.to_owned());
            }
        }
        // Listeners are what they were.
        *is = ListenConfig { limits: is.limits.clone(), ..was.clone() };
        let blueprint = before.renewed(config)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(blueprint);
        self.version.fetch_add(1, Ordering::Release);
        Ok(done)
    }
}

/// An engine, and what it was made from.
#[derive(Debug)]
struct Made<E> {
    version: u64,
    blueprint: Arc<Blueprint>,
    engine: E,
}

fn renewed<P: Pool>(
    plan: &Plan,
    made: &Made<impl std::ops::Deref<Target = Engine<P>>>,
) -> (u64, Arc<Blueprint>, Engine<P>) {
    // Before the blueprint: one that is newer than its version is made again, not missed.
    let version = plan.version();
    let blueprint = plan.current();
    let engine = made.engine.renew(&made.blueprint, &blueprint);
    (version, blueprint, engine)
}

/// The engine of gateways on one thread.
#[derive(Debug)]
pub(crate) struct LocalSeat {
    plan: Arc<Plan>,
    made: RefCell<Made<Rc<Engine<LocalPool>>>>,
}

impl LocalSeat {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let (version, blueprint) = (plan.version(), plan.current());
        let engine = Rc::new(Engine::new(&blueprint));
        Self { plan, made: RefCell::new(Made { version, blueprint, engine }) }
    }

    /// The engine of now. A request ends on the engine that it began on.
    pub(crate) fn engine(&self) -> Rc<Engine<LocalPool>> {
        let mut made = self.made.borrow_mut();
        if made.version != self.plan.version() {
            let (version, blueprint, engine) = renewed(&self.plan, &made);
            *made = Made { version, blueprint, engine: Rc::new(engine) };
        }
        made.engine.clone()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// The engine of gateways on any thread.
#[derive(Debug)]
pub(crate) struct SharedSeat {
    plan: Arc<Plan>,
    made: RwLock<Made<Arc<Engine<SharedPool>>>>,
}

impl SharedSeat {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let (version, blueprint) = (plan.version(), plan.current());
        let engine = Arc::new(Engine::new(&blueprint));
        Self { plan, made: RwLock::new(Made { version, blueprint, engine }) }
    }

    /// As [`LocalSeat::engine`].
    pub(crate) fn engine(&self) -> Arc<Engine<SharedPool>> {
        {
            let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
            if made.version == self.plan.version() {
                return made.engine.clone();
            }
        }
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.version != self.plan.version() {
            let (version, blueprint, engine) = renewed(&self.plan, &made);
            *made = Made { version, blueprint, engine: Arc::new(engine) };
        }
        made.engine.clone()
    }
}
