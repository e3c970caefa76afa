//! Clients by address.

use std::net::IpAddr;

use super::Verdict;
use crate::config::{AddressesConfig, ConfigErrors, Peer, peer};

/// Lets clients in by their address; see [`AddressesConfig`].
///
/// ```
/// use shop_gateway::config::AddressesConfig;
/// use shop_gateway::policy::AddressPolicy;
///
/// let config = AddressesConfig { allow: vec!["10.0.0.0/8".into()], deny: vec!["10.0.0.7".into()] };
/// let policy = AddressPolicy::new(&config)?;
/// assert!(policy.allows(Some("10.1.2.3".parse()?)));
/// assert!(!policy.allows(Some("192.0.2.1".parse()?)));
/// let verdict = policy.explain(Some("10.0.0.7".parse()?));
/// assert_eq!(verdict.reason, "10.0.0.7 is denied by deny[0]");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AddressPolicy {
    allow: Vec<Peer>,
    deny: Vec<Peer>,
}

/// What decided; the numbers are positions in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Denied(usize),
    Allowed(usize),
    /// Nothing in `deny`, and `allow` is empty.
    NotDenied,
    NotAllowed,
}

impl AddressPolicy {
    /// The policy of a configuration.
    ///
    /// # Errors
    /// Every entry that is none.
    pub fn new(config: &AddressesConfig) -> Result<Self, ConfigErrors> {
        let mut faults = ConfigErrors::default();
        config.check("addresses", &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let parsed = |list: &[String]| list.iter().filter_map(|text| peer(text)).collect();
        Ok(Self { allow: parsed(&config.allow), deny: parsed(&config.deny) })
    }

    /// Whether a client is let in. None: it has no address.
    pub fn allows(&self, client: Option<IpAddr>) -> bool {
        matches!(self.decide(client), Decision::Allowed(_) | Decision::NotDenied)
    }

    /// The same, with the reason.
    pub fn explain(&self, client: Option<IpAddr>) -> Verdict {
        let name = client.map_or_else(|| "a client without an address".to_owned(), |ip| ip.to_string());
        let (allowed, reason) = match self.decide(client) {
            Decision::Denied(index) => (false, format!("{name} is denied by deny[{index}]")),
            Decision::Allowed(index) => (true, format!("{name} is allowed by allow[{index}]")),
            Decision::NotDenied => (true, format!("{name} is not denied")),
            Decision::NotAllowed => (false, format!("{name} is not allowed")),
        };
        Verdict { policy: "addresses", allowed, reason }
    }

    fn decide(&self, client: Option<IpAddr>) -> Decision {
        // `::ffff:10.0.0.1` is 10.0.0.1, or it would pass by `deny`.
        let client = client.map(|ip| ip.to_canonical());
        let is_client = |peer: &Peer| match (peer, client) {
            (Peer::Unix, None) => true,
            (Peer::Net(net), Some(ip)) => net.contains(&ip),
            _ => false,
        };
        if let Some(index) = self.deny.iter().position(is_client) {
            return Decision::Denied(index);
        }
        match self.allow.iter().position(is_client) {
            Some(index) => Decision::Allowed(index),
            None if self.allow.is_empty() && client.is_some() => Decision::NotDenied,
            None => Decision::NotAllowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], deny: &[&str]) -> AddressPolicy {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        AddressPolicy::new(&AddressesConfig { allow: owned(allow), deny: owned(deny) }).unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn deny_goes_before_allow_and_ipv4_is_ipv4_however_it_is_written() {
        let policy = policy(&["10.0.0.0/8", "2001:db8::/32"], &["10.0.0.7", "2001:db8:1::/48"]);
        for (client, allowed) in [
            ("10.0.0.8", true),
            ("10.0.0.7", false),
            ("::ffff:10.0.0.7", false),
            ("::ffff:10.0.0.8", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
            ("::1", false),
        ] {
            assert_eq!(policy.allows(ip(client)), allowed, "{client}");
            assert_eq!(policy.explain(ip(client)).allowed, allowed, "{client}");
        }
    }

    #[test]
    fn a_client_without_an_address_is_let_in_by_name_only() {
        assert!(!policy(&["0.0.0.0/0", "::/0"], &[]).allows(None));
        assert!(!policy(&[], &["10.0.0.0/8"]).allows(None));
        assert!(policy(&["unix"], &[]).allows(None));
        assert!(!policy(&["unix"], &["unix"]).allows(None));
        assert!(!policy(&["unix"], &[]).allows(ip("127.0.0.1")));
    }
}
