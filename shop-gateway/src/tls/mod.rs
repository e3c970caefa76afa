//! TLS on both sides, by rustls.

mod client;
mod files;
mod names;
mod server;
mod store;
mod watch;

pub(crate) use server::ServerTls;
pub(crate) use store::TlsStore;
pub(crate) use watch::watch;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
