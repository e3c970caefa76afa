//! What may be a host.

use http::HeaderValue;

const LABEL: u8 = 1;
const DOT: u8 = 2;
/// Only in the forms that [`is_rare_host`] knows.
const RARE: u8 = 4;

/// The characters of RFC 3986's `host [":" port]` but the comma, by which two hosts may have been made one; those of a name of
/// the DNS are done with at once.
const KIND: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => LABEL,
            b'.' => DOT,
            b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' | b':'
            | b'[' | b']' => RARE,
            _ => 0,
        };
        b += 1;
    }
    table
};

/// Whether a `Host` is one: a name without empty labels, or an address, and a port up to 65,535 (RFC 9110, 7.2).
pub(super) fn is_host(host: &HeaderValue) -> bool {
    let (mut seen, mut last) = (0, DOT);
    for &b in host.as_bytes() {
        let kind = KIND[usize::from(b)];
        if kind == 0 || (kind == DOT && last == DOT) {
            return false;
        }
        seen |= kind;
        last = kind;
    }
    // A dot at the end is the root's.
    if seen & RARE == 0 { seen & LABEL != 0 } else { is_rare_host(host.as_bytes()) }
}

fn is_rare_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else { return false };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        (address, after)
    } else {
        host.split_at(host.find(':').unwrap_or(host.len()))
    };
    let port_fits = match port.strip_prefix(':') {
        None => port.is_empty(),
        // None after the colon is the scheme's own.
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u16>().is_ok())
        }
    };
    // Of what a name may hold by RFC 3986, brackets and colons are left, and escapes, which are no part of any name.
    let named = host.starts_with('[') || !name.contains(['[', ']', '%']);
    port_fits && named && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_what_looks_like_them() {
        for host in [
            "a",
            "shop.example",
            "shop.example.",
            "SHOP.example:8080",
            "a:",
            "a:0",
            "a:65535",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "[::ffff:127.0.0.1]:",
            "a_b",
            "xn--bcher-kva.example",
            "a+b",
        ] {
            assert!(is_host(&HeaderValue::from_static(host)), "{host}");
        }
        for host in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a..",
            ":80",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:99999999999",
            "a:-1",
            "a:+1",
            "[::1",
            "::1",
            "[]",
            "[g::]",
            "[::1]x",
            "[::1]80",
            "[::1]:x",
            "[v1.x]",
            "a]",
            "a[b]",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a b",
            "a%20b",
            "a,b",
            "a\\b",
            "a\"b",
            "<a>",
        ] {
            assert!(!is_host(&HeaderValue::from_static(host)), "{host}");
        }
        assert!(!is_host(&HeaderValue::from_bytes(b"\xe9").unwrap()));
    }
}
