//! All that is read from files, of one plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::ClientTls;
use super::server::ServerTls;
use crate::config::{ConfigErrors, GatewayConfig};
use crate::upstream::Connector;

/// Certificates of listeners and upstreams, by their names. Shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct TlsStore {
    servers: BTreeMap<String, Arc<ServerTls>>,
    clients: BTreeMap<String, Arc<ClientTls>>,
}

impl TlsStore {
    /// Reads all files of a checked configuration. Blocks.
    pub(crate) fn load(config: &GatewayConfig) -> Result<Self, ConfigErrors> {
        let (mut store, mut faults) = (Self::default(), ConfigErrors::default());
        for (name, section) in &config.gateway.tls {
            if let Some(tls) = ServerTls::load(format!("gateway.tls.{name}"), section, &mut faults) {
                store.servers.insert(name.clone(), Arc::new(tls));
            }
        }
        for (name, upstream) in &config.upstreams {
            if let Some(section) = &upstream.tls
                && let Some(tls) =
                    ClientTls::load(format!("upstreams.{name}.tls"), upstream, section, &mut faults)
            {
                store.clients.insert(name.clone(), Arc::new(tls));
            }
        }
        if faults.is_empty() { Ok(store) } else { Err(faults) }
    }

    /// Reads all files again, or those of sections that have changed. What is bad changes nothing. Blocks.
    pub(crate) fn reload(&self, only_changed: bool) -> Result<(), ConfigErrors> {
        let mut faults = ConfigErrors::default();
        for server in self.servers.values() {
            server.reload(only_changed, &mut faults);
        }
        for client in self.clients.values() {
            client.reload(only_changed, &mut faults);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty()
    }

    pub(crate) fn server(&self, name: &str) -> Option<Arc<ServerTls>> {
        self.servers.get(name).cloned()
    }

    /// What opens an upstream's connections: `below`, inside TLS if the upstream has it.
    pub(crate) fn connector(&self, upstream: &str, below: Option<&Connector>) -> Option<Connector> {
        match self.clients.get(upstream) {
            Some(tls) => Some(tls.connector(below)),
            None => below.cloned(),
        }
    }
}
