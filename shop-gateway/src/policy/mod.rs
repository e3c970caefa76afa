//! What a route asks of a request before any upstream is asked. Each policy is usable alone.

mod addresses;
mod rate_limit;

pub use addresses::AddressPolicy;
pub(crate) use rate_limit::seconds;
pub use rate_limit::{Quota, RateLimiter};

/// What a policy says of a request, for whoever wants to know why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The policy, by its name in the configuration.
    pub policy: &'static str,
    /// Whether the request goes on.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}
