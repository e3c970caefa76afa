//! TLS towards clients.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::files::{Reader, Stamps};
use super::names::Names;
use super::provider;
use crate::config::{ClientAuth, ConfigErrors, TlsConfig, TlsVersion};

/// One section's certificates, as they are now.
#[derive(Debug)]
pub(crate) struct ServerTls {
    path: String,
    config: TlsConfig,
    files: Vec<PathBuf>,
    current: RwLock<(Arc<ServerConfig>, Stamps)>,
}

fn load(path: &str, config: &TlsConfig, faults: &mut ConfigErrors) -> Option<Arc<ServerConfig>> {
    let before = faults.faults().len();
    let mut names = Names::default();
    let mut reader = Reader { faults };
    for (index, certificate) in config.certificates.iter().enumerate() {
        let path = format!("{path}.certificates[{index}]");
        if let Some(certified) = reader.certified(&path, &certificate.chain, &certificate.key) {
            names.add(&certificate.names, Arc::new(certified));
        }
    }
    let verifier = config.client_ca.as_ref().and_then(|file| {
        let setting = format!("{path}.client_ca");
        let roots = reader.roots(&setting, file)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = match config.client_auth {
            ClientAuth::Optional => builder.allow_unauthenticated(),
            ClientAuth::None | ClientAuth::Required => builder,
        };
        builder.build().map_err(|e| reader.faults.push(setting, e.to_string())).ok()
    });
    if faults.faults().len() > before {
        return None;
    }
    let versions: &[_] = match config.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let built = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).and_then(
        |builder| {
            let builder = match verifier {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let mut built = builder.with_cert_resolver(Arc::new(names));
            if config.client_auth == ClientAuth::None {
                // A session is taken up again by any worker, for as long as the certificates stay the same.
                built.ticketer = Ticketer::new()?;
            } else {
                // A session taken up again is not asked for its certificate, which may have expired since.
                built.session_storage = Arc::new(NoServerSessionStorage {});
                built.send_tls13_tickets = 0;
            }
            Ok(built)
        },
    );
    match built {
        Ok(mut built) => {
            let names: &[&[u8]] =
                if cfg!(feature = "http2") { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
            built.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
            Some(Arc::new(built))
        }
        Err(e) => {
            faults.push(path, e.to_string());
            None
        }
    }
}

impl ServerTls {
    /// Reads the files. Blocks.
    pub(super) fn load(path: String, config: &TlsConfig, faults: &mut ConfigErrors) -> Option<Self> {
        let mut files: Vec<_> = config.client_ca.iter().cloned().collect();
        for certificate in &config.certificates {
            files.extend([certificate.chain.clone(), certificate.key.clone()]);
        }
        let stamps = Stamps::of(&files);
        let current = load(&path, config, faults)?;
        Some(Self { path, config: config.clone(), files, current: RwLock::new((current, stamps)) })
    }

    /// Reads the files again; connections that are open stay as they are. Blocks.
    pub(super) fn reload(&self, only_changed: bool, faults: &mut ConfigErrors) {
        let stamps = Stamps::of(&self.files);
        if only_changed && self.current.read().unwrap_or_else(PoisonError::into_inner).1 == stamps {
            return;
        }
        let loaded = load(&self.path, &self.config, faults);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // What is bad is looked at again: the fault may have been the disk's.
        if let Some(loaded) = loaded {
            *current = (loaded, stamps);
            tracing::info!(target: "shop_gateway::tls", section = self.path, "certificates were read");
        }
    }

    /// The handshake.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}
