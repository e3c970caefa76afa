//! `[gateway]`.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{ConfigErrors, LimitsConfig};

/// Where the server listens, with how many workers, and what a client may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Addresses to listen on. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, each with a runtime and pools of its own; 0 is one a core.
    pub workers: usize,
    /// Whether a client that has closed its sending side still gets its answer. When off, that close counts
    /// as the client having left, and the request is given up at once.
    pub half_close: bool,
    /// What a client may cost.
    pub limits: LimitsConfig,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            workers: 0,
            half_close: true,
            limits: LimitsConfig::default(),
        }
    }
}

impl ListenConfig {
    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        if self.workers > 1024 {
            faults.push(format!("{path}.workers"), "is above 1024");
        }
        for (index, addr) in self.listen.iter().enumerate() {
            if addr.port() != 0 && self.listen[..index].contains(addr) {
                faults.push(format!("{path}.listen[{index}]"), format!("{addr} is there twice"));
            }
        }
        self.limits.check(&format!("{path}.limits"), faults);
    }
}
