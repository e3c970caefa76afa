//! The address of an endpoint.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointAddr {
    /// An address and port: no name to look up.
    Ip(SocketAddr),
    /// A name and port, looked up whenever a connection is opened.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// Why a text is not an endpoint's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not host:port, nor unix:/path")]
pub struct EndpointError(String);

impl FromStr for EndpointAddr {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(error()) };
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return if addr.port() == 0 { Err(error()) } else { Ok(Self::Ip(addr)) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let port: u16 = port.parse().map_err(|_| error())?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(plain) || port == 0 {
            return Err(error());
        }
        Ok(Self::Name { host: host.to_owned(), port })
    }
}

impl fmt::Display for EndpointAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read() {
        for text in ["127.0.0.1:80", "[::1]:8081", "orders-1:8081", "unix:/run/orders.sock"] {
            assert_eq!(text.parse::<EndpointAddr>().unwrap().to_string(), text);
        }
        for text in
            ["", "orders", ":80", "orders:0", "127.0.0.1:0", "unix:run", "http://a:80", "a b:1", "a:70000"]
        {
            assert!(text.parse::<EndpointAddr>().is_err(), "{text}");
        }
    }
}
