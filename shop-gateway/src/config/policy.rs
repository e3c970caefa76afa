//! `[routes.addresses]`.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{ConfigErrors, Peer, peer};

/// Which clients a route takes, by their address: that of the connection, or of its PROXY protocol header. What a request's
/// headers say does not count.
///
/// Entries are addresses, networks (`10.0.0.0/8`, `2001:db8::/32`) or the word `unix`: clients without an address, such as those
/// of a Unix socket. `deny` is asked first. A client without an address is let in only by `unix` in `allow`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddressesConfig {
    /// Who is let in. Empty: every address that is not denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Who is not, even if `allow` has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

impl AddressesConfig {
    pub(crate) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        if self.allow.is_empty() && self.deny.is_empty() {
            faults.push(path, "neither allows nor denies anything");
        }
        for (list, entries) in [("allow", &self.allow), ("deny", &self.deny)] {
            for (index, text) in entries.iter().enumerate() {
                let path = format!("{path}.{list}[{index}]");
                match peer(text) {
                    None => faults.push(path, format!("`{text}` is not an address, a network or `unix`")),
                    Some(Peer::Net(IpNet::V6(net))) if net.addr().to_ipv4_mapped().is_some() => {
                        faults.push(path, format!("`{text}` is IPv4 within IPv6: write it as IPv4"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
