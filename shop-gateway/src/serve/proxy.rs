//! The PROXY protocol's header, versions 1 and 2 (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its end.
const LONGEST_LINE: usize = 107;

/// A header: how long it was, and the client that it names; none for a connection of the proxy's own.
type Header = (usize, Option<SocketAddr>);

/// Reads the header. Also returns what came behind it.
pub(super) async fn read_header<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> io::Result<(Option<SocketAddr>, Bytes)> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        match parse(&bytes) {
            Ok(Some((length, client))) => return Ok((client, Bytes::from(bytes).split_off(length))),
            Ok(None) => {}
            Err(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// None while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] == SIGNATURE[..begun] && begun > 0 {
        return version_2(bytes);
    }
    let begun = bytes.len().min(6);
    if bytes[..begun] != b"PROXY "[..begun] {
        return Err("no PROXY protocol header");
    }
    let end = bytes.iter().take(LONGEST_LINE).position(|&b| b == b'\n');
    match end {
        Some(end) => Ok(Some((end + 1, version_1(&bytes[6..end])?))),
        None if bytes.len() >= LONGEST_LINE => Err("a PROXY protocol header that does not end"),
        None => Ok(None),
    }
}

fn version_1(line: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    const WRONG: &str = "a PROXY protocol header that is none";
    let line = line.strip_suffix(b"\r").and_then(|line| str::from_utf8(line).ok()).ok_or(WRONG)?;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let mut address = || words.next().and_then(|word| word.parse::<IpAddr>().ok()).ok_or(WRONG);
    let (from, to) = (address()?, address()?);
    let mut port = || words.next().and_then(|word| word.parse::<u16>().ok()).ok_or(WRONG);
    let (from_port, _) = (port()?, port()?);
    let fits = match family {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    if !fits || words.next().is_some() {
        return Err(WRONG);
    }
    Ok(Some(SocketAddr::new(from, from_port)))
}

fn version_2(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else { return Ok(None) };
    if command >> 4 != 2 || command & 15 > 1 {
        return Err("a PROXY protocol header of another version or command");
    }
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    let Some(addresses) = bytes.get(16..length) else { return Ok(None) };
    const SHORT: &str = "a PROXY protocol header too short for its addresses";
    let client = match (command & 15, family) {
        (1, 0x11) => {
            let part: [u8; 12] = addresses.get(..12).and_then(|part| part.try_into().ok()).ok_or(SHORT)?;
            let ip = Ipv4Addr::new(part[0], part[1], part[2], part[3]);
            Some(SocketAddr::from((ip, u16::from_be_bytes([part[8], part[9]]))))
        }
        (1, 0x21) => {
            let part: [u8; 36] = addresses.get(..36).and_then(|part| part.try_into().ok()).ok_or(SHORT)?;
            let ip: [u8; 16] = part[..16].try_into().map_err(|_| SHORT)?;
            Some(SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes([part[32], part[33]]))))
        }
        // The proxy's own connection, or families that have no such address.
        _ => None,
    };
    Ok(Some((length, client)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend((addresses.len() as u16).to_be_bytes());
        header.extend(addresses);
        header
    }

    #[test]
    fn headers_of_both_versions_name_the_client() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
        let mut v6 = Ipv6Addr::LOCALHOST.octets().to_vec();
        v6.extend([0; 16]);
        v6.extend([0x12, 0x67, 0, 80]);
        let mut with_tlv = v4.to_vec();
        with_tlv.extend([4, 0, 1, 0]);
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n".to_vec(), Some("192.0.2.7:4711")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(), Some("[2001:db8::7]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:: 1 2 3\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("192.0.2.7:4711")),
            (v2(0x21, 0x11, &with_tlv), Some("192.0.2.7:4711")),
            (v2(0x21, 0x21, &v6), Some("[::1]:4711")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let client = client.map(|client| client.parse().unwrap());
            let mut bytes = header.clone();
            bytes.extend(b"GET / HTTP/1.1");
            assert_eq!(parse(&bytes), Ok(Some((header.len(), client))), "{header:?}");
            for n in 0..header.len() {
                assert_eq!(parse(&header[..n]), Ok(None), "{n} bytes of {header:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80 9\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80000\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 4711 80\r\n".to_vec(),
            [b"PROXY ".to_vec(), vec![b'x'; 200]].concat(),
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
        ] {
            assert!(parse(&bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), signed in any::<bool>()) {
            let bytes = if signed { [SIGNATURE.to_vec(), bytes].concat() } else { bytes };
            if let Ok(Some((length, _))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
