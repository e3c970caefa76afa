//! The entries of `gateway.listen`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ConfigErrors;

/// What to listen on, and what comes before HTTP there. Written as an address alone, such as `127.0.0.1:8080` or
/// `unix:/run/gateway.sock`, or as a table with more.
///
/// ```
/// # use shop_gateway::{GatewayConfig, ListenAddr};
/// let config: GatewayConfig = toml::from_str(
///     r#"
///     [gateway]
///     listen = [
///         "127.0.0.1:8080",
///         "unix:/run/gateway.sock",
///         { address = "0.0.0.0:8443", tls = "public", proxy_protocol_from = ["10.0.0.0/8"] },
///     ]
///     "#,
/// )?;
/// assert_eq!(config.gateway.listen[2].tls.as_deref(), Some("public"));
/// assert!(matches!(config.gateway.listen[1].address, ListenAddr::Unix(_)));
/// # Ok::<_, toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where.
    pub address: ListenAddr,
    /// The name of a section `[gateway.tls.NAME]`. None: no TLS.
    pub tls: Option<String>,
    /// The peers, as addresses or networks (`10.0.0.0/8`) or the word `unix` for those of a Unix socket, that begin each
    /// connection with a PROXY protocol header, version 1 or 2: a connection of theirs without one is closed. Of all others it is
    /// no HTTP.
    pub proxy_protocol_from: Vec<String>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// An address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket's path. A socket that nobody listens on any more is replaced.
    Unix(PathBuf),
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not address:port, nor unix:/path")]
pub struct ListenAddrError(String);

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        let error = || ListenAddrError(text.to_owned());
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(error()),
            None => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenerConfig {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        Ok(Self { address: text.parse()?, tls: None, proxy_protocol_from: Vec::new() })
    }
}

impl From<SocketAddr> for ListenerConfig {
    fn from(addr: SocketAddr) -> Self {
        Self { address: ListenAddr::Tcp(addr), tls: None, proxy_protocol_from: Vec::new() }
    }
}

impl fmt::Display for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The table's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proxy_protocol_from: Vec<String>,
}

impl Serialize for ListenerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let address = self.address.to_string();
        if self.tls.is_none() && self.proxy_protocol_from.is_empty() {
            return address.serialize(serializer);
        }
        Table { address, tls: self.tls.clone(), proxy_protocol_from: self.proxy_protocol_from.clone() }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ListenerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ListenerConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("address:port, unix:/path or a table with `address`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ListenerConfig, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenerConfig, A::Error> {
                let Table { address, tls, proxy_protocol_from } =
                    Table::deserialize(MapAccessDeserializer::new(map))?;
                let address = address.parse().map_err(A::Error::custom)?;
                Ok(ListenerConfig { address, tls, proxy_protocol_from })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Peers that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    Unix,
    Net(IpNet),
}

pub(crate) fn peer(text: &str) -> Option<Peer> {
    if text == "unix" {
        return Some(Peer::Unix);
    }
    text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok().map(Peer::Net)
}

impl ListenerConfig {
    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        for (index, text) in self.proxy_protocol_from.iter().enumerate() {
            let path = format!("{path}.proxy_protocol_from[{index}]");
            match (peer(text), &self.address) {
                (None, _) => faults.push(path, format!("`{text}` is not an address, a network or `unix`")),
                (Some(Peer::Unix), ListenAddr::Unix(_)) | (Some(Peer::Net(_)), ListenAddr::Tcp(_)) => {}
                (Some(_), ListenAddr::Unix(_)) => {
                    faults.push(path, "peers of a Unix socket are called `unix`")
                }
                (Some(_), ListenAddr::Tcp(_)) => {
                    faults.push(path, "no peer of this address is a Unix socket's")
                }
            }
        }
    }
}
