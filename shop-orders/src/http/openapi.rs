use shop_core::http::with_problems;
use utoipa::OpenApi;

use super::{change, feed, place, read};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Orders",
        description = "Orders that are placed if and only if their stock is taken, once. Errors are RFC 9457 problems with a stable \
            `code`; unknown fields and parameters are refused.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "orders", description = "Placing, reading and changing orders."),
        (name = "events", description = "Following every change.")
    ),
    paths(
        place::place_order,
        read::list_orders,
        read::get_order,
        change::edit_order,
        change::delete_order,
        change::cancel_order,
        change::ship_order,
        change::deliver_order,
        feed::order_history,
        feed::list_events
    )
)]
struct Document;

/// The OpenAPI 3.1 description of the API, as `/openapi.json` gives it.
pub fn document() -> utoipa::openapi::OpenApi {
    with_problems(
        Document::openapi(),
        &[
            (
                400,
                "Malformed: `invalid_query`, `invalid_path`, `invalid_header`, `malformed_json`, `invalid_body`, `invalid_idempotency_key`…",
            ),
            (500, "`internal`: the cause is in the log, under the request's id."),
            (503, "`unavailable`: ask again after `Retry-After` seconds."),
        ],
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::document;

    #[test]
    fn every_reference_has_its_schema() {
        let document = serde_json::to_value(document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut references = BTreeSet::new();
        collect(&document, &mut references);
        assert!(references.len() > 5, "{references:?}");
        for reference in references {
            assert!(document.pointer(&reference).is_some(), "{reference} leads nowhere");
        }
    }

    fn collect(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    references.insert(reference.trim_start_matches('#').to_owned());
                }
                members.values().for_each(|member| collect(member, references));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
            _ => {}
        }
    }
}
