//! Hosts: exact names and wildcards.

/// What a route says of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostMatch {
    Any,
    /// With its leading dot: `.shop.example`.
    Suffix(String),
    Exact(String),
}

impl HostMatch {
    pub(super) fn new(host: Option<&str>) -> Self {
        match host.map(str::to_ascii_lowercase) {
            None => Self::Any,
            Some(name) => match name.strip_prefix('*') {
                Some(suffix) => Self::Suffix(suffix.to_owned()),
                None => Self::Exact(name),
            },
        }
    }

    /// `host` is a `Host` header's value, in any case, with or without a port.
    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => without_port(host).eq_ignore_ascii_case(name),
            Self::Suffix(suffix) => {
                let host = without_port(host);
                let Some(at) = host.len().checked_sub(suffix.len()) else { return false };
                at > 0 && host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(suffix)
            }
        }
    }
}

/// The name of `name:port`; the brackets of an IPv6 address stay, as does nothing of a root dot.
fn without_port(host: &str) -> &str {
    let name = match host.rfind(':') {
        Some(at) if host[at + 1..].bytes().all(|b| b.is_ascii_digit()) && !host[at..].contains(']') => {
            &host[..at]
        }
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_case_and_brackets() {
        let exact = HostMatch::new(Some("Shop.Example"));
        for host in ["shop.example", "SHOP.example:8080", "shop.example.", "shop.example:"] {
            assert!(exact.matches(host), "{host}");
        }
        assert!(!exact.matches("a.shop.example"));
        assert!(HostMatch::new(Some("[::1]")).matches("[::1]:80"));
        assert!(HostMatch::new(Some("[::1]")).matches("[::1]"));
    }

    #[test]
    fn a_wildcard_is_for_names_below_it_only() {
        let below = HostMatch::new(Some("*.shop.example"));
        assert!(below.matches("a.shop.example:1"));
        assert!(below.matches("a.b.SHOP.example"));
        for host in ["shop.example", ".shop.example", "xshop.example", ""] {
            assert!(!below.matches(host), "{host}");
        }
    }
}
