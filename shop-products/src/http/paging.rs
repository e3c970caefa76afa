//! Cursors and `Link`.

use serde::de::DeserializeOwned;
use shop_core::http::{Request, Response, ResponseExt, invalid_parameter};
use shop_core::{Cursor, Limit, PageRequest, Problem};

/// The page that the parameters ask for; `fits` says whether the cursor is one of this very list.
///
/// # Errors
/// 400 for a cursor of another list or order.
pub(super) fn page<K: DeserializeOwned>(
    limit: Option<Limit>,
    cursor: Option<String>,
    fits: impl FnOnce(&K) -> bool,
) -> Result<PageRequest<K>, Problem> {
    let after = match cursor {
        None => None,
        Some(text) => match Cursor(text).decode() {
            Ok(key) if fits(&key) => Some(key),
            _ => return Err(invalid_parameter("cursor", "is not a cursor of this list in this order")),
        },
    };
    Ok(PageRequest { limit: limit.unwrap_or_default(), after })
}

/// Adds `Link: <…>; rel="next"`, which keeps all other parameters.
pub(super) fn linked(response: Response, request: &Request, next: Option<&Cursor>) -> Response {
    match next {
        None => response,
        Some(cursor) => {
            response.with_next(&next_uri(request.path(), request.uri().query().unwrap_or(""), cursor))
        }
    }
}

fn next_uri(path: &str, query: &str, cursor: &Cursor) -> String {
    let mut next = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    next.extend_pairs(form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor"));
    next.append_pair("cursor", &cursor.0);
    next.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_other_parameters() {
        let cursor = Cursor("abc_-".into());
        assert_eq!(next_uri("/v1/products", "", &cursor), "/v1/products?cursor=abc_-");
        assert_eq!(
            next_uri("/v1/products", "q=a+%26b&cursor=old&limit=2", &cursor),
            "/v1/products?q=a+%26b&limit=2&cursor=abc_-"
        );
    }
}
