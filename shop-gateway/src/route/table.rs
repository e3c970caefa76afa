//! The routes of a configuration, ready to be asked.

use std::cmp::Reverse;
use std::ops::Range;

use http::{HeaderMap, Method};

use super::host::HostMatch;
use super::{Summary, path};
use crate::config::RouteConfig;

/// What of a request decides its route.
#[derive(Debug, Clone, Copy)]
pub struct RouteQuery<'a> {
    /// The `Host` header's value, or the authority of an absolute target.
    pub host: &'a str,
    /// The target's path, as it was sent.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// The answer of a [`RouteTable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The route, by its position in the configuration.
    Found(usize),
    /// Routes match but for the method: these are the methods they take, for `Allow`.
    MethodNotAllowed(String),
    /// No route matches.
    NotFound,
}

/// The routes of a configuration, ready to be asked. The precedence is on the [module's page](super).
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    /// Hosts from the most to the least specific, each with its range of `paths`.
    hosts: Vec<(HostMatch, Range<usize>)>,
    /// Of each host: sorted by prefix, each with its range of `rules`.
    paths: Vec<(String, Range<usize>)>,
    /// Of each path: from the most to the least specific.
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    methods: Vec<Method>,
    headers: HeaderMap,
    index: usize,
}

impl Rule {
    fn takes_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    fn takes_headers(&self, headers: &HeaderMap) -> bool {
        self.headers.iter().all(|(name, value)| headers.get_all(name).iter().any(|v| v == value))
    }
}

impl RouteTable {
    /// The table of routes that passed [`GatewayConfig::validate`](crate::GatewayConfig::validate).
    pub fn new(routes: &[RouteConfig]) -> Self {
        fn prefix(route: &RouteConfig) -> &str {
            route.path.trim_end_matches('/')
        }
        let mut order: Vec<_> = routes.iter().enumerate().collect();
        order.sort_by_cached_key(|(index, route)| {
            let summary = Summary::of(route);
            let host = route.host.as_ref().map(|host| host.to_ascii_lowercase());
            let place = (Reverse((summary.host_kind, summary.host_len)), host, prefix(route).to_owned());
            (place, Reverse(summary), *index)
        });
        let mut table = Self::default();
        for (index, route) in order {
            let host = HostMatch::new(route.host.as_deref());
            if table.hosts.last().is_none_or(|(last, _)| *last != host) {
                let end = table.paths.len();
                table.hosts.push((host, end..end));
            }
            let (_, paths) = table.hosts.last_mut().expect("a host was just pushed, or is there");
            if paths.start == paths.end || table.paths[paths.end - 1].0 != prefix(route) {
                let end = table.rules.len();
                table.paths.push((prefix(route).to_owned(), end..end));
                paths.end += 1;
            }
            let (_, rules) = &mut table.paths[paths.end - 1];
            rules.end += 1;
            table.rules.push(Rule {
                methods: route.method.iter().filter_map(|method| method.parse().ok()).collect(),
                headers: route.header_matches(),
                index,
            });
        }
        table
    }

    /// The best route for a request. Costs some comparisons for each segment of the path, and allocates only
    /// for a 405.
    pub fn find(&self, query: RouteQuery<'_>) -> Lookup {
        let mut allowed: Vec<&Method> = Vec::new();
        for (host, range) in &self.hosts {
            if !host.matches(query.host) {
                continue;
            }
            let paths = &self.paths[range.clone()];
            let mut rest = query.path;
            loop {
                if let Ok(at) = paths.binary_search_by(|(prefix, _)| prefix.as_str().cmp(rest))
                    && path::matches(rest, query.path)
                {
                    for rule in &self.rules[paths[at].1.clone()] {
                        if !rule.takes_headers(query.headers) {
                            continue;
                        }
                        if rule.takes_method(query.method) {
                            return Lookup::Found(rule.index);
                        }
                        allowed.extend(&rule.methods);
                    }
                }
                if rest.is_empty() {
                    break;
                }
                // Of `*`, the target of an OPTIONS, nothing is left at once.
                rest = &rest[..rest.bytes().rposition(|b| b == b'/').unwrap_or(0)];
            }
        }
        if allowed.is_empty() {
            return Lookup::NotFound;
        }
        allowed.sort_by_key(|method| method.as_str());
        allowed.dedup();
        Lookup::MethodNotAllowed(allowed.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule as it is told: every route is tried, the greatest summary wins, then the first.
    fn naive(routes: &[RouteConfig], query: RouteQuery<'_>) -> Option<usize> {
        let matching = routes.iter().enumerate().filter(|(_, route)| {
            HostMatch::new(route.host.as_deref()).matches(query.host)
                && path::matches(route.path.trim_end_matches('/'), query.path)
                && (route.method.is_empty() || route.method.iter().any(|m| m == query.method.as_str()))
                && route
                    .headers
                    .iter()
                    .all(|(n, v)| query.headers.get_all(n.as_str()).iter().any(|x| x == v.as_str()))
        });
        matching.max_by_key(|(index, route)| (Summary::of(route), Reverse(*index))).map(|(index, _)| index)
    }

    fn route() -> impl Strategy<Value = RouteConfig> {
        (
            prop::sample::select(vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b"]),
            prop::option::of(prop::sample::select(vec!["x.y", "*.y", "*.x.y", "z.x.y", "Z.x.y"])),
            prop::sample::subsequence(vec!["GET", "POST", "PUT"], 0..3),
            prop::collection::btree_map(
                prop::sample::select(vec!["k", "l"]).prop_map(str::to_owned),
                prop::sample::select(vec!["1", "2"]).prop_map(str::to_owned),
                0..2,
            ),
        )
            .prop_map(|(path, host, method, headers)| RouteConfig {
                host: host.map(str::to_owned),
                method: method.into_iter().map(str::to_owned).collect(),
                headers,
                ..RouteConfig::new(path, "u")
            })
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_rule(
            routes in prop::collection::vec(route(), 0..12),
            host in prop::sample::select(vec!["x.y", "z.x.y:80", "y", "Q.y", ""]),
            path in prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/", "/a/b/c/d", "/ab", "/abc", "/b//a", "*", "/c"]),
            method in prop::sample::select(vec![Method::GET, Method::POST, Method::DELETE]),
            header in prop::option::of(prop::sample::select(vec![("k", "1"), ("l", "2")])),
        ) {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            let query = RouteQuery { host, path, method: &method, headers: &headers };
            let found = match RouteTable::new(&routes).find(query) {
                Lookup::Found(index) => Some(index),
                Lookup::MethodNotAllowed(allow) => {
                    prop_assert!(!allow.contains(method.as_str()));
                    let other: Method = allow.split(", ").next().unwrap().parse().unwrap();
                    let asked = RouteQuery { method: &other, ..query };
                    prop_assert!(naive(&routes, asked).is_some());
                    None
                }
                Lookup::NotFound => {
                    for other in [Method::GET, Method::POST, Method::PUT] {
                        let asked = RouteQuery { method: &other, ..query };
                        prop_assert!(naive(&routes, asked).is_none());
                    }
                    None
                }
            };
            prop_assert_eq!(found, naive(&routes, query));
        }
    }
}
