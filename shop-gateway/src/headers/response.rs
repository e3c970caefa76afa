//! A response's head on its way to the client.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode, Version};

use super::connection_options;

/// Why an upstream's response is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadResponse {
    #[error("more than one Content-Length")]
    ContentLengths,
    #[error("a Content-Length that is not a length")]
    ContentLength,
    #[error("a transfer coding other than chunked")]
    TransferEncoding,
    #[error("both Content-Length and Transfer-Encoding")]
    BothFramings,
    #[error("101 without an upgrade asked for")]
    SwitchingProtocols,
}

const DROPPED: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Makes an upstream's head the client's, in place, or says why it cannot be. The request's id is not added yet.
pub(crate) fn clean_response<B>(res: &mut Response<B>) -> Result<(), BadResponse> {
    if res.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadResponse::SwitchingProtocols);
    }
    let headers = res.headers_mut();
    let (mut dropped, mut lengths, mut is_length, mut encodings, mut chunked) = (0u8, 0, true, 0, false);
    let mut connection = Vec::new();
    for (name, value) in &*headers {
        match name.as_str() {
            "content-length" => {
                lengths += 1;
                is_length =
                    (1..=19).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit);
            }
            "transfer-encoding" => {
                dropped |= 1 << 3;
                encodings += 1;
                chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            }
            "connection" => {
                dropped |= 1;
                if value != "keep-alive" && value != "close" {
                    connection.push(value.clone());
                }
            }
            "keep-alive" => dropped |= 1 << 1,
            "proxy-connection" => dropped |= 1 << 2,
            "upgrade" => dropped |= 1 << 4,
            "te" => dropped |= 1 << 5,
            _ => {}
        }
    }
    if encodings > 0 && (encodings > 1 || !chunked) {
        return Err(BadResponse::TransferEncoding);
    }
    if lengths > 1 {
        return Err(BadResponse::ContentLengths);
    }
    // hyper takes a list of equal ones, and asks for none where no body follows.
    if !is_length {
        return Err(BadResponse::ContentLength);
    }
    if lengths > 0 && encodings > 0 {
        return Err(BadResponse::BothFramings);
    }
    if !connection.is_empty() {
        remove_named(headers, &connection);
    }
    while dropped != 0 {
        headers.remove(&DROPPED[dropped.trailing_zeros() as usize]);
        dropped &= dropped - 1;
    }
    *res.version_mut() = Version::HTTP_11;
    Ok(())
}

/// The same for the 101 to an upgrade that was asked for; `protocol` is what it changes to.
pub(crate) fn clean_switching<B>(res: &mut Response<B>, protocol: HeaderValue) -> Result<(), BadResponse> {
    *res.status_mut() = StatusCode::OK;
    clean_response(res)?;
    *res.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = res.headers_mut();
    // It has no body, whatever it says (RFC 9110, 15.2).
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, const { HeaderValue::from_static("upgrade") });
    headers.insert(header::UPGRADE, protocol);
    Ok(())
}

fn remove_named(headers: &mut HeaderMap, connection: &[HeaderValue]) {
    for name in connection_options(connection) {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(lines: &[(&str, &str)]) -> Result<HeaderMap, BadResponse> {
        let mut builder = Response::builder();
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        let mut res = builder.body(()).unwrap();
        clean_response(&mut res).map(|()| res.headers().clone())
    }

    #[test]
    fn what_is_of_one_hop_stays_there() {
        let headers = cleaned(&[
            ("connection", "x-a"),
            ("connection", "close, X-B"),
            ("x-a", "1"),
            ("x-b", "2"),
            ("x-c", "3"),
            ("keep-alive", "timeout=5"),
        ])
        .unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-c"], "3");
    }

    #[test]
    fn framing_that_two_may_read_differently() {
        assert_eq!(
            cleaned(&[("content-length", "1"), ("content-length", "1")]),
            Err(BadResponse::ContentLengths)
        );
        for length in ["1, 1", "", "+1", "99999999999999999999"] {
            assert_eq!(cleaned(&[("content-length", length)]), Err(BadResponse::ContentLength), "{length}");
        }
        assert_eq!(cleaned(&[("transfer-encoding", "gzip, chunked")]), Err(BadResponse::TransferEncoding));
        assert_eq!(
            cleaned(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
            Err(BadResponse::TransferEncoding)
        );
        assert_eq!(
            cleaned(&[("content-length", "1"), ("transfer-encoding", "chunked")]),
            Err(BadResponse::BothFramings)
        );
        assert!(cleaned(&[("transfer-encoding", "Chunked")]).is_ok());
    }
}
