//! Where Logstash is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `tcp://HOST:PORT`, `udp://HOST:PORT`, `http://[USER:PASSWORD@]HOST[:PORT][/PATH]` or `lumberjack://HOST[:PORT]`. Shown
/// without its password.
///
/// Ports are 5959 for `tcp` and `udp`, 80 for `http` and 5044 for `lumberjack` when none is given. What a user's name or a
/// password has of `@`, `:`, `/` or `%` is percent-encoded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogstashUrl {
    pub(super) scheme: LogstashScheme,
    /// `USER:PASSWORD`, as written.
    pub(super) user: Option<String>,
    /// `HOST:PORT`.
    pub(super) authority: String,
    /// Begins with `/`.
    pub(super) path: String,
}

/// How events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogstashScheme {
    /// JSON lines.
    Tcp,
    /// A datagram an event.
    Udp,
    /// A POST of JSON lines.
    Http,
    /// The Beats protocol, version 2.
    Lumberjack,
}

const SCHEMES: [(&str, LogstashScheme, u16); 4] = [
    ("tcp", LogstashScheme::Tcp, 5959),
    ("udp", LogstashScheme::Udp, 5959),
    ("http", LogstashScheme::Http, 80),
    ("lumberjack", LogstashScheme::Lumberjack, 5044),
];

impl LogstashScheme {
    /// Whether the receiver says what it has got.
    pub fn is_acknowledged(self) -> bool {
        matches!(self, Self::Http | Self::Lumberjack)
    }
}

impl LogstashUrl {
    /// How events are sent there.
    pub fn scheme(&self) -> LogstashScheme {
        self.scheme
    }
}

impl FromStr for LogstashUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text may hold a password, so no message shows it.
        let (scheme, rest) = text.split_once("://").ok_or("must be a URL such as lumberjack://logs:5044")?;
        if scheme == "https" {
            return Err(
                "this version sends without TLS; put a proxy that speaks it beside the process".into()
            );
        }
        let (_, scheme, default_port) = SCHEMES
            .into_iter()
            .find(|(name, ..)| *name == scheme)
            .ok_or_else(|| format!("{scheme}:// is not one of tcp://, udp://, http:// and lumberjack://"))?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte)) {
            return Err("has a character that must be percent-encoded in a URL".into());
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if scheme != LogstashScheme::Http && (user.is_some() || !matches!(path, "" | "/")) {
            return Err("only http:// has a user or a path".into());
        }
        if user.is_some_and(|user| !user.contains(':')) {
            return Err("a user has a password: http://USER:PASSWORD@HOST".into());
        }
        // The colons of an IPv6 address are in brackets.
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (host, None),
        };
        let bare = name.strip_prefix('[').map_or(Some(name), |inner| inner.strip_suffix(']'));
        let bare = bare.filter(|bare| !bare.is_empty()).ok_or("has no host")?;
        if bare.contains(['[', ']']) || (bare.contains(':') && bare == name) {
            return Err("has no host; an IPv6 address stands in brackets".into());
        }
        let port: u16 = match port {
            None => default_port,
            Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or("has no port after its colon")?,
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, user: user.map(str::to_owned), authority: format!("{name}:{port}"), path })
    }
}

impl fmt::Display for LogstashUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme =
            SCHEMES.iter().find(|(_, scheme, _)| *scheme == self.scheme).map_or("", |(name, ..)| name);
        write!(f, "{scheme}://")?;
        if let Some((name, _)) = self.user.as_ref().and_then(|user| user.split_once(':')) {
            write!(f, "{name}:***@")?;
        }
        f.write_str(&self.authority)?;
        f.write_str(if self.path == "/" { "" } else { &self.path })
    }
}

impl fmt::Debug for LogstashUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for LogstashUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LogstashUrl> for String {
    fn from(url: LogstashUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        for (text, shown) in [
            ("lumberjack://logs", "lumberjack://logs:5044"),
            ("tcp://10.0.0.1:1/", "tcp://10.0.0.1:1"),
            ("udp://[::1]", "udp://[::1]:5959"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://me:hunter2@logs/in?a=b", "http://me:***@logs:80/in?a=b"),
            ("http://logs?a=b", "http://logs:80/?a=b"),
        ] {
            let url: LogstashUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        }
        for bad in [
            "logs:5044",
            "ftp://logs",
            "https://logs",
            "tcp://",
            "tcp://:1",
            "tcp://logs:",
            "tcp://logs:0",
            "tcp://logs:65536",
            "tcp://::1",
            "tcp://[::1",
            "tcp://logs/path",
            "udp://me:hunter2@logs",
            "http://me@logs",
            "http://lo gs",
            "http://logs/ü",
        ] {
            let error = bad.parse::<LogstashUrl>().expect_err(bad);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
