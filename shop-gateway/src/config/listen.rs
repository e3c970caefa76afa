//! `[gateway]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{ConfigErrors, LimitsConfig, ListenAddr, ListenerConfig, TlsConfig};

/// Where the server listens, with how many workers, and what a client may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Addresses to listen on, each `address:port`, `unix:/path`, or a table that says more. Port 0 takes a free one.
    pub listen: Vec<ListenerConfig>,
    /// Worker threads, each with a runtime and pools of its own; 0 is one a core.
    pub workers: usize,
    /// Whether a client that has closed its sending side still gets its answer. When off, that close counts
    /// as the client having left, and the request is given up at once.
    pub half_close: bool,
    /// What a client may cost.
    pub limits: LimitsConfig,
    /// `[gateway.tls.NAME]`: certificates for the addresses that name it. Needs the feature `tls`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tls: BTreeMap<String, TlsConfig>,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)).into()],
            workers: 0,
            half_close: true,
            limits: LimitsConfig::default(),
            tls: BTreeMap::new(),
        }
    }
}

impl ListenConfig {
    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        if self.workers > 1024 {
            faults.push(format!("{path}.workers"), "is above 1024");
        }
        for (index, entry) in self.listen.iter().enumerate() {
            let path = format!("{path}.listen[{index}]");
            let any_port = matches!(&entry.address, ListenAddr::Tcp(addr) if addr.port() == 0);
            if !any_port && self.listen[..index].iter().any(|other| other.address == entry.address) {
                faults.push(path.as_str(), format!("{entry} is there twice"));
            }
            if let Some(name) = &entry.tls
                && !self.tls.contains_key(name)
            {
                faults.push(format!("{path}.tls"), format!("there is no section `{name}`"));
            }
            entry.check(&path, faults);
        }
        for (name, section) in &self.tls {
            section.check(&format!("{path}.tls.{name}"), faults);
        }
        self.limits.check(&format!("{path}.limits"), faults);
    }
}
