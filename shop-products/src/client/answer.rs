use serde::Deserialize;
use serde::de::DeserializeOwned;
use shop_core::FieldError;

use super::fault::ClientFault;
use crate::{CatalogError, ReservationState, ShortLine, UnknownLine};

/// A problem, as far as a client acts on it.
#[derive(Debug, Deserialize)]
struct ProblemBody {
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
    state: Option<ReservationState>,
    lines: Option<serde_json::Value>,
}

/// A good answer's content.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientFault> {
    serde_json::from_slice(body).map_err(|error| ClientFault::Unreadable(error.to_string()))
}

/// What a refusal means.
pub(super) fn refusal(status: u16, body: &[u8]) -> CatalogError {
    match problem(status, body) {
        Ok(error) => error,
        Err(fault) => fault.into(),
    }
}

fn problem(status: u16, body: &[u8]) -> Result<CatalogError, ClientFault> {
    // Whatever is not a problem of ours comes from something between, and says nothing about products.
    let problem: ProblemBody = serde_json::from_slice(body).map_err(|_| ClientFault::Status(status))?;
    Ok(match (status, problem.code.as_str()) {
        (409, "insufficient_stock") => CatalogError::InsufficientStock(lines::<ShortLine>(problem.lines)?),
        (422, "unknown_product") => CatalogError::UnknownProducts(lines::<UnknownLine>(problem.lines)?),
        (409, "reservation_released") => {
            CatalogError::Released(problem.state.unwrap_or(ReservationState::Released))
        }
        (422, "reservation_mismatch") => CatalogError::OtherLines,
        (400 | 413 | 415 | 422, _) => CatalogError::Invalid(told(problem)),
        (404, "not_found") => return Err(ClientFault::NotFound),
        _ => return Err(ClientFault::Status(status)),
    })
}

fn lines<T: DeserializeOwned>(lines: Option<serde_json::Value>) -> Result<Vec<T>, ClientFault> {
    let lines = lines.ok_or_else(|| ClientFault::Unreadable("a problem without its lines".into()))?;
    serde_json::from_value(lines).map_err(|error| ClientFault::Unreadable(error.to_string()))
}

fn told(problem: ProblemBody) -> String {
    if problem.errors.is_empty() {
        return if problem.detail.is_empty() { problem.code } else { problem.detail };
    }
    let faults: Vec<_> = problem.errors.iter().map(|f| format!("{}: {}", f.pointer, f.detail)).collect();
    faults.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_errors_and_all_else_is_unavailable() {
        let id = "0190a6f0-0000-7000-8000-000000000000";
        let short = format!(
            r#"{{"code":"insufficient_stock","new":1,"lines":[{{"product_id":"{id}","sku":"A","requested":2,"available":1}}]}}"#
        );
        assert!(
            matches!(refusal(409, short.as_bytes()), CatalogError::InsufficientStock(l) if l[0].available == 1)
        );
        let unknown = r#"{"code":"unknown_product","lines":[{"line":0,"sku":"A","status":"inactive"}]}"#;
        assert!(
            matches!(refusal(422, unknown.as_bytes()), CatalogError::UnknownProducts(l) if l[0].line == 0)
        );
        let settled = br#"{"code":"reservation_released","state":"fulfilled"}"#;
        assert!(matches!(refusal(409, settled), CatalogError::Released(ReservationState::Fulfilled)));
        assert!(matches!(refusal(422, br#"{"code":"reservation_mismatch"}"#), CatalogError::OtherLines));
        let invalid = br#"{"code":"invalid","errors":[{"pointer":"/lines","code":"too_many","detail":"x"}]}"#;
        assert!(matches!(refusal(422, invalid), CatalogError::Invalid(text) if text == "/lines: x"));
        for (status, body) in [
            (404, &b"{\"code\":\"not_found\"}"[..]),
            (409, b"{\"code\":\"insufficient_stock\"}"),
            (409, b"{\"code\":\"insufficient_stock\",\"lines\":[{\"sku\":1}]}"),
            (422, b"<html>"),
            (413, b""),
            (418, b"{\"code\":\"teapot\"}"),
        ] {
            assert!(refusal(status, body).is_unknown(), "{status} {body:?}");
        }
    }
}
