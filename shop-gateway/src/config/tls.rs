//! `[gateway.tls.NAME]` and `[upstreams.NAME.tls]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigErrors;

/// TLS towards clients. Files are PEM, read when the plan is made, and again when one of them has changed or on request; what is
/// found bad then changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Chosen by the name that the client asks for (SNI).
    pub certificates: Vec<CertificateConfig>,
    /// The lowest version spoken.
    pub min_version: TlsVersion,
    /// Whether clients show a certificate. Where they are asked, each connection has a whole handshake.
    pub client_auth: ClientAuth,
    /// The authorities that sign clients' certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// A certificate and its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// `shop.example`, or `*.shop.example` for every name one label below it. None: for every name that no other has, and for
    /// clients that ask for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The certificate and those between it and the authority, in this order.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// One that is shown must be good.
    Optional,
    /// A good one, or no connection.
    Required,
}

/// TLS towards an upstream. Its certificate is always verified, for the name that is asked for. Files are PEM, and read as those
/// of [`TlsConfig`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTlsConfig {
    /// The authorities that sign its certificate. None: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name to ask for and to verify. None: the endpoint's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The gateway's own certificate, with `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

fn needs_feature(path: &str, faults: &mut ConfigErrors) {
    if cfg!(not(feature = "tls")) {
        faults.push(path, "this gateway was built without the feature `tls`");
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.split('.').all(|label| !label.is_empty() && label.chars().all(plain))
}

impl TlsConfig {
    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        needs_feature(path, faults);
        if self.certificates.is_empty() {
            faults.push(format!("{path}.certificates"), "has no certificate");
        }
        let mut seen = Vec::new();
        for (index, certificate) in self.certificates.iter().enumerate() {
            let path = format!("{path}.certificates[{index}]");
            if certificate.names.is_empty() {
                if seen.contains(&String::new()) {
                    faults.push(path, "a second certificate without names");
                    continue;
                }
                seen.push(String::new());
            }
            for name in &certificate.names {
                let lower = name.to_ascii_lowercase();
                if !is_name(name.strip_prefix("*.").unwrap_or(name)) {
                    faults.push(
                        format!("{path}.names"),
                        format!("`{name}` is not a host name, nor `*.` and one"),
                    );
                } else if seen.contains(&lower) {
                    faults.push(format!("{path}.names"), format!("`{name}` has a certificate already"));
                }
                seen.push(lower);
            }
        }
        match (self.client_auth, &self.client_ca) {
            (ClientAuth::None, Some(_)) => {
                faults.push(format!("{path}.client_ca"), "is there, but `client_auth` asks no client");
            }
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                faults.push(
                    format!("{path}.client_ca"),
                    "is missing: nobody could sign a client's certificate",
                );
            }
            _ => {}
        }
    }
}

impl UpstreamTlsConfig {
    pub(super) fn check(&self, path: &str, endpoints: &[String], faults: &mut ConfigErrors) {
        needs_feature(path, faults);
        if self.chain.is_some() != self.key.is_some() {
            faults.push(path, "`chain` and `key` go together");
        }
        match &self.server_name {
            Some(name) if !is_name(name) => {
                faults.push(format!("{path}.server_name"), format!("`{name}` is not a host name"));
            }
            None if endpoints.iter().any(|endpoint| endpoint.starts_with("unix:")) => {
                faults.push(format!("{path}.server_name"), "is missing: a Unix socket has no name to verify");
            }
            _ => {}
        }
    }
}
