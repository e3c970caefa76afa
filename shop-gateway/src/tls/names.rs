//! The certificate for a name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by the names that clients ask for.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    below: HashMap<String, Arc<CertifiedKey>>,
    other: Option<Arc<CertifiedKey>>,
}

impl Names {
    /// No name: for all others.
    pub(super) fn add(&mut self, names: &[String], certified: Arc<CertifiedKey>) {
        if names.is_empty() {
            self.other = Some(certified.clone());
        }
        for name in names {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(below) => self.below.insert(below.to_owned(), certified.clone()),
                None => self.exact.insert(name, certified.clone()),
            };
        }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let found = name.map(str::to_ascii_lowercase).and_then(|name| {
            let below = name.split_once('.').and_then(|(_, below)| self.below.get(below));
            self.exact.get(&name).or(below)
        });
        found.or(self.other.as_ref())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}
