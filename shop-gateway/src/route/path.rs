//! Path prefixes at a segment boundary.

/// `prefix` has no trailing slash; the empty one matches all.
pub(super) fn matches(prefix: &str, path: &str) -> bool {
    match path.as_bytes().get(prefix.len()) {
        None => path == prefix,
        Some(b'/') => path.as_bytes().starts_with(prefix.as_bytes()),
        Some(_) => prefix.is_empty(),
    }
}

/// Whether a segment is `.` or `..`, written plainly or with `%2e`: what a router and the upstream behind it
/// may read differently (RFC 3986, 5.2.4).
pub(crate) fn has_dot_segment(path: &str) -> bool {
    // Nearly every path is done here.
    if !path.as_bytes().windows(2).any(|pair| pair[0] == b'/' && matches!(pair[1], b'.' | b'%')) {
        return false;
    }
    path.split('/').any(|segment| {
        let mut rest = segment;
        let mut dots = 0;
        while !rest.is_empty() {
            rest = match rest
                .strip_prefix('.')
                .or_else(|| rest.strip_prefix("%2e"))
                .or_else(|| rest.strip_prefix("%2E"))
            {
                Some(rest) => rest,
                None => return false,
            };
            dots += 1;
        }
        dots == 1 || dots == 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for (prefix, path, expected) in [
            ("/v1/orders", "/v1/orders", true),
            ("/v1/orders", "/v1/orders/", true),
            ("/v1/orders", "/v1/orders/7", true),
            ("/v1/orders", "/v1/orders-archive", false),
            ("/v1/orders", "/v1/order", false),
            ("/v1/orders", "/V1/orders", false),
            ("", "/", true),
            ("", "/x", true),
            ("", "*", true),
        ] {
            assert_eq!(matches(prefix, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn dot_segments_in_every_spelling() {
        for path in ["/.", "/..", "/a/../b", "/a/%2e%2E/b", "/a/.%2e", "/a/./b", "/%2e"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/", "/a.b", "/.well-known/x", "/...", "/a/%20", "/%2ea", "/..a"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
