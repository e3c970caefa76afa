use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Secret, Violation};

/// `[etcd]`: where the common configuration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdConfig {
    /// Members of the cluster, `http://etcd-1:2379` or `https://…`; any of them will do. TLS trusts the system's roots.
    pub endpoints: Vec<String>,
    /// What the keys begin with; the user may read all that is below it. Default `/shop`.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Who asks, where etcd wants to know.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Where the last good values are kept, for a start without etcd; `config.json` is `config.orders.json` of the service
    /// `orders`, so that services can share a file of configuration. For its owner only: it holds what etcd holds. Without it
    /// nothing is kept.
    #[serde(default)]
    pub snapshot: Option<PathBuf>,
}

fn default_prefix() -> String {
    "/shop".into()
}

impl EtcdConfig {
    /// What cannot work, at keys of `[etcd]`.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut refuse = |key: &str, why: &str| found.push(Violation::new(format!("etcd.{key}"), why));
        if self.endpoints.is_empty() {
            refuse("endpoints", "has no address");
        }
        let is_tls = |endpoint: &String| endpoint.starts_with("https://");
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let authority =
                endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://")).unwrap_or("");
            if authority.contains('@') {
                refuse(&format!("endpoints.{index}"), "has a user; etcd.user and etcd.password name one");
            } else if authority.is_empty() || authority.contains(['/', '?', '#', ' ']) {
                refuse(
                    &format!("endpoints.{index}"),
                    "must be an address such as http://etcd-1:2379 or https://etcd-1:2379",
                );
            }
        }
        if self.endpoints.iter().any(is_tls) && !self.endpoints.iter().all(is_tls) {
            refuse("endpoints", "must be https:// throughout, or not at all");
        }
        if !self.prefix.starts_with('/') || self.prefix.ends_with('/') || self.prefix.contains("//") {
            refuse("prefix", "must be a path such as /shop");
        }
        match (&self.user, &self.password) {
            (Some(_), None) => refuse("password", "is missing: there is a user"),
            (None, Some(_)) => refuse("user", "is missing: there is a password"),
            _ => {}
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoints: &[&str]) -> EtcdConfig {
        EtcdConfig {
            endpoints: endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect(),
            prefix: default_prefix(),
            user: None,
            password: None,
            snapshot: Some("state/config.json".into()),
        }
    }

    #[test]
    fn what_cannot_work_is_told_by_its_key() {
        assert_eq!(config(&["http://a:2379", "http://[::1]:2379"]).violations(), []);
        for (endpoints, key) in [
            (&[][..], "etcd.endpoints"),
            (&["a:2379"], "etcd.endpoints.0"),
            (&["http://a:1", "http://"], "etcd.endpoints.1"),
            (&["http://me:pw4711@a:1"], "etcd.endpoints.0"),
            (&["http://a:1", "https://b:1"], "etcd.endpoints"),
        ] {
            let found = config(endpoints).violations();
            assert_eq!(found.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), [key], "{endpoints:?}");
            assert!(!format!("{found:?}").contains("pw4711"));
        }
        for prefix in ["", "/", "shop", "/shop/", "/a//b"] {
            let found = EtcdConfig { prefix: prefix.into(), ..config(&["http://a:1"]) }.violations();
            assert_eq!(found.len(), 1, "{prefix}");
        }
        let half = EtcdConfig { user: Some("me".into()), ..config(&["http://a:1"]) };
        assert_eq!(half.violations()[0].path, "etcd.password");
    }
}
