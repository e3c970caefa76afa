//! TLS towards upstreams.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::files::{Reader, Stamps};
use super::provider;
use crate::config::{ConfigErrors, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig};
use crate::upstream::{Connector, EndpointAddr, open};

/// How one upstream is verified, as it is now.
#[derive(Debug)]
pub(crate) struct ClientTls {
    path: String,
    config: UpstreamTlsConfig,
    http2: bool,
    files: Vec<PathBuf>,
    current: RwLock<(Arc<ClientConfig>, Stamps)>,
}

/// The system's authorities.
fn system_roots(path: &str, faults: &mut ConfigErrors) -> Option<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
        faults.push(path, format!("has no `ca`, and the system has none either{why}"));
        return None;
    }
    Some(roots)
}

fn load(
    path: &str,
    config: &UpstreamTlsConfig,
    http2: bool,
    faults: &mut ConfigErrors,
) -> Option<Arc<ClientConfig>> {
    let roots = match &config.ca {
        Some(file) => Reader { faults }.roots(&format!("{path}.ca"), file),
        None => system_roots(path, faults),
    };
    let own = match (&config.chain, &config.key) {
        (Some(chain), Some(key)) => Some(Reader { faults }.certified(path, chain, key)?),
        _ => None,
    };
    let builder = match ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
    {
        Ok(builder) => builder.with_root_certificates(roots?),
        Err(e) => {
            faults.push(path, e.to_string());
            return None;
        }
    };
    let mut built = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    built.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Some(Arc::new(built))
}

impl ClientTls {
    /// Reads the files. Blocks.
    pub(super) fn load(
        path: String,
        upstream: &UpstreamConfig,
        config: &UpstreamTlsConfig,
        faults: &mut ConfigErrors,
    ) -> Option<Self> {
        let http2 = upstream.protocol == UpstreamProtocol::Http2;
        let files: Vec<_> = [&config.ca, &config.chain, &config.key].into_iter().flatten().cloned().collect();
        let stamps = Stamps::of(&files);
        let current = load(&path, config, http2, faults)?;
        Some(Self { path, config: config.clone(), http2, files, current: RwLock::new((current, stamps)) })
    }

    /// Reads the files again; connections that are open stay as they are. Blocks.
    pub(super) fn reload(&self, only_changed: bool, faults: &mut ConfigErrors) {
        let stamps = Stamps::of(&self.files);
        if only_changed && self.current.read().unwrap_or_else(PoisonError::into_inner).1 == stamps {
            return;
        }
        let loaded = load(&self.path, &self.config, self.http2, faults);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // What is bad is looked at again: the fault may have been the disk's.
        if let Some(loaded) = loaded {
            *current = (loaded, stamps);
        }
    }

    /// Opens connections inside TLS, over those of `below`, or over sockets.
    pub(super) fn connector(self: &Arc<Self>, below: Option<&Connector>) -> Connector {
        let (tls, below) = (self.clone(), below.cloned());
        Connector::new(move |addr: EndpointAddr| {
            let (tls, below) = (tls.clone(), below.clone());
            async move {
                let name = match (&tls.config.server_name, &addr) {
                    (Some(name), _) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
                    (None, EndpointAddr::Ip(addr)) => ServerName::from(addr.ip()),
                    (None, EndpointAddr::Name { host, .. }) => {
                        ServerName::try_from(host.clone()).map_err(io::Error::other)?
                    }
                    (None, EndpointAddr::Unix(_)) => {
                        return Err(io::Error::other("there is no name to verify"));
                    }
                };
                let socket = open(&addr, below.as_ref()).await?;
                let config = tls.current.read().unwrap_or_else(PoisonError::into_inner).0.clone();
                let stream = TlsConnector::from(config).connect(name, socket).await?;
                if tls.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(io::Error::other("the upstream does not speak HTTP/2"));
                }
                Ok(stream)
            }
        })
    }
}
