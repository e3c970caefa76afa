//! Certificates and keys in PEM files, and whether those have changed.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider;
use crate::config::ConfigErrors;

/// Reads files, and notes what is wrong with which setting.
pub(super) struct Reader<'a> {
    pub(super) faults: &'a mut ConfigErrors,
}

impl Reader<'_> {
    fn fault<T>(&mut self, setting: &str, file: &Path, why: impl Display) -> Option<T> {
        self.faults.push(setting, format!("`{}`: {why}", file.display()));
        None
    }

    fn certificates(&mut self, setting: &str, file: &Path) -> Option<Vec<CertificateDer<'static>>> {
        match CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(certificates) if certificates.is_empty() => self.fault(setting, file, "has no certificate"),
            Ok(certificates) => Some(certificates),
            Err(e) => self.fault(setting, file, e),
        }
    }

    /// A certificate with its key, which must be its own.
    pub(super) fn certified(&mut self, path: &str, chain: &Path, key: &Path) -> Option<CertifiedKey> {
        let certificates = self.certificates(&format!("{path}.chain"), chain);
        let private = match PrivateKeyDer::from_pem_file(key) {
            Ok(private) => Some(private),
            Err(e) => self.fault(&format!("{path}.key"), key, e),
        };
        match CertifiedKey::from_der(certificates?, private?, &provider()) {
            Ok(certified) => Some(certified),
            Err(e) => self.fault(&format!("{path}.key"), key, e),
        }
    }

    /// Authorities.
    pub(super) fn roots(&mut self, setting: &str, file: &Path) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(setting, file)? {
            if let Err(e) = roots.add(certificate) {
                return self.fault(setting, file, e);
            }
        }
        Some(roots)
    }
}

/// What a file was when it was looked at: its inode, its length and its time. Enough, since certificates are renewed by a new
/// file under the old name.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Files that are looked at now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Stamp>);

impl Stamps {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let stamp = |file: &PathBuf| {
            let meta = fs::metadata(file).ok()?;
            Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        };
        Self(files.iter().map(stamp).collect())
    }
}
