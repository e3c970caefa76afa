//! How specific a route is.

use crate::config::RouteConfig;

/// How specific a route is: of the routes that match a request, the greatest wins. The fields are compared in
/// the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Summary {
    /// 0 for any host, 1 for a wildcard, 2 for an exact one.
    pub host_kind: u8,
    /// The length of the host.
    pub host_len: usize,
    /// The length of the path, without a trailing slash.
    pub path_len: usize,
    /// Whether the route names its methods.
    pub method: bool,
    /// How many headers it asks for.
    pub headers: usize,
}

impl Summary {
    /// The summary of a route.
    pub fn of(route: &RouteConfig) -> Self {
        Self {
            host_kind: match &route.host {
                None => 0,
                Some(host) if host.starts_with('*') => 1,
                Some(_) => 2,
            },
            host_len: route.host.as_ref().map_or(0, String::len),
            path_len: route.path.trim_end_matches('/').len(),
            method: !route.method.is_empty(),
            headers: route.headers.len(),
        }
    }
}
