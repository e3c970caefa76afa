//! All that is read from files, of one plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::ClientTls;
use super::server::ServerTls;
use crate::config::{ConfigErrors, GatewayConfig, UpstreamConfig};
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
            store.add_client(name, upstream, &mut faults);
        }
        if faults.is_empty() { Ok(store) } else { Err(faults) }
    }

    /// What another configuration makes of it: listeners keep theirs, and unchanged upstreams. Blocks.
    pub(crate) fn renewed(
        &self,
        before: &GatewayConfig,
        config: &GatewayConfig,
    ) -> Result<Self, ConfigErrors> {
        let mut store = Self { servers: self.servers.clone(), clients: BTreeMap::new() };
        let mut faults = ConfigErrors::default();
        for (name, upstream) in &config.upstreams {
            match self.clients.get(name) {
                Some(tls) if before.upstreams.get(name) == Some(upstream) => {
                    store.clients.insert(name.clone(), tls.clone());
                }
                _ => store.add_client(name, upstream, &mut faults),
            }
        }
        if faults.is_empty() { Ok(store) } else { Err(faults) }
    }

    fn add_client(&mut self, name: &str, upstream: &UpstreamConfig, faults: &mut ConfigErrors) {
        if let Some(section) = &upstream.tls
            && let Some(tls) = ClientTls::load(format!("upstreams.{name}.tls"), upstream, section, faults)
        {
            self.clients.insert(name.to_owned(), Arc::new(tls));
        }
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
