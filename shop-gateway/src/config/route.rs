//! `[[routes]]`.

use std::collections::BTreeMap;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::{Deserialize, Deserializer, Serialize};
use shop_core::config::ByteSize;

use super::{AddressesConfig, ConfigErrors, RateLimitConfig, UpgradeConfig};

/// Which requests go to which upstream: all that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// A prefix that ends at a segment boundary: `/v1/orders` matches `/v1/orders` and `/v1/orders/7`, not
    /// `/v1/orders-archive`. A trailing slash says the same as none.
    #[serde(default = "root")]
    pub path: String,
    /// `shop.example`, or `*.shop.example` for every name below it. Ports and case are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// One method or several; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub method: Vec<String>,
    /// Headers that must be there, with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The name of the upstream.
    pub upstream: String,
    /// `[routes.upgrade]`: WebSocket and other protocols that a connection may change to.
    #[serde(default, skip_serializing_if = "UpgradeConfig::is_default")]
    pub upgrade: UpgradeConfig,
    /// `[routes.addresses]`: which clients it takes. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<AddressesConfig>,
    /// `[routes.rate_limit]`: how many requests it takes. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitConfig>,
    /// A request's body, instead of `gateway.limits.max_body`: else 413.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<ByteSize>,
}

fn root() -> String {
    "/".to_owned()
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

impl RouteConfig {
    /// Everything below a path, to an upstream.
    pub fn new(path: impl Into<String>, upstream: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            host: None,
            method: Vec::new(),
            headers: BTreeMap::new(),
            upstream: upstream.into(),
            upgrade: UpgradeConfig::default(),
            addresses: None,
            rate_limit: None,
            max_body: None,
        }
    }

    /// Two routes of one identity match the same requests.
    pub(crate) fn identity(&self) -> impl Ord + use<> {
        let mut methods = self.method.clone();
        methods.sort();
        methods.dedup();
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        (
            self.path.trim_end_matches('/').to_owned(),
            self.host.as_ref().map(|h| h.to_ascii_lowercase()),
            methods,
            headers,
        )
    }

    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        if !self.path.starts_with('/') {
            faults.push(format!("{path}.path"), "does not start with `/`");
        } else if self.path.contains(['?', '#', ' ']) || self.path.contains("//") || !self.path.is_ascii() {
            faults.push(format!("{path}.path"), format!("`{}` is not a path", self.path));
        }
        if let Some(host) = &self.host {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':');
            let port = !name.starts_with('[') && name.contains(':');
            if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) || port {
                faults.push(
                    format!("{path}.host"),
                    format!("`{host}` is not a host name, nor `*.` and one; it has no port"),
                );
            }
        }
        for method in &self.method {
            if method.parse::<Method>().is_err() || *method != method.to_ascii_uppercase() {
                faults.push(format!("{path}.method"), format!("`{method}` is not a method"));
            }
        }
        self.upgrade.check(&format!("{path}.upgrade"), faults);
        if let Some(addresses) = &self.addresses {
            addresses.check(&format!("{path}.addresses"), faults);
        }
        if let Some(limit) = &self.rate_limit {
            limit.check(&format!("{path}.rate_limit"), faults);
        }
        if self.max_body == Some(ByteSize(0)) {
            faults.push(format!("{path}.max_body"), "is zero: every body would be refused");
        }
        for (name, value) in &self.headers {
            if name.parse::<HeaderName>().is_err() || value.parse::<HeaderValue>().is_err() {
                faults.push(format!("{path}.headers.{name}"), "is not a header");
            }
        }
    }

    /// The header matches, parsed. Only of a checked route.
    pub(crate) fn header_matches(&self) -> HeaderMap {
        let parsed =
            |(name, value): (&String, &String)| Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?));
        self.headers.iter().filter_map(parsed).collect()
    }
}
