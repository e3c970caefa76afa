//! The description of the API, from the handlers and bodies themselves.

use shop_core::http::{ProblemSchema, with_problems};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    Type,
};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use super::schema::{KeyText, TagsText};
use super::{products, reservations, stock, transfer};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Products",
        description = "Catalogue, stock and reservations. Errors are RFC 9457 `application/problem+json`; `code` is stable."
    ),
    paths(
        products::create,
        products::list,
        products::get,
        products::replace,
        products::patch,
        products::delete,
        stock::check,
        stock::get,
        stock::adjust,
        stock::adjustments,
        stock::adjustment,
        reservations::list,
        reservations::hold,
        reservations::get,
        reservations::commit,
        reservations::release,
        reservations::settle,
        transfer::import,
        transfer::export
    ),
    tags(
        (name = "products", description = "What is for sale"),
        (name = "stock", description = "How much there is"),
        (name = "reservations", description = "Stock held for an order until it is settled"),
        (name = "transfer", description = "Import and export")
    )
)]
struct Document;

/// What every operation may answer besides its own.
const ALWAYS: [(u16, &str); 5] = [
    (400, "Malformed: the body, a header, a parameter or the path"),
    (408, "The body did not arrive in time"),
    (413, "The body is too large"),
    (500, "A fault of the service; the cause is in its log, under `request_id`"),
    (503, "`unavailable`: the store cannot be used for now"),
];
const NOT_FOUND: (u16, &str) = (404, "`not_found`");
const MEDIA_TYPE: (u16, &str) = (415, "`unsupported_media_type`");
const INVALID: (u16, &str) = (422, "`invalid`, with every fault; `idempotency_key_reused`");
const STALE: (u16, &str) = (412, "`version_mismatch`");
const NEEDS_TAG: (u16, &str) = (428, "`if_match_required`, if it is configured so");
const IN_FLIGHT: (u16, &str) = (409, "`idempotency_key_in_flight`");

/// What an operation has besides its path, parameters and bodies.
struct Extras {
    problems: &'static [(u16, &'static str)],
    key: bool,
    if_match: bool,
    if_none_match: bool,
    tagged: bool,
    located: bool,
    paged: bool,
}

const PLAIN: Extras = Extras {
    problems: &[],
    key: false,
    if_match: false,
    if_none_match: false,
    tagged: false,
    located: false,
    paged: false,
};

fn extras(operation: &str) -> Extras {
    match operation {
        "createProduct" => Extras {
            problems: &[(409, "`duplicate_sku`; `idempotency_key_in_flight`"), MEDIA_TYPE, INVALID],
            key: true,
            tagged: true,
            located: true,
            ..PLAIN
        },
        "listProducts" | "listReservations" => Extras { paged: true, ..PLAIN },
        "listAdjustments" => Extras { problems: &[NOT_FOUND], paged: true, ..PLAIN },
        "getProduct" | "getStock" | "getReservation" => {
            Extras { problems: &[NOT_FOUND], if_none_match: true, tagged: true, ..PLAIN }
        }
        "getAdjustment" => Extras { problems: &[NOT_FOUND], ..PLAIN },
        "replaceProduct" | "patchProduct" => Extras {
            problems: &[
                NOT_FOUND,
                (409, "`duplicate_sku`"),
                STALE,
                MEDIA_TYPE,
                (422, "`invalid`, with every fault"),
                NEEDS_TAG,
            ],
            if_match: true,
            tagged: true,
            ..PLAIN
        },
        "deleteProduct" => Extras { problems: &[NOT_FOUND, STALE, NEEDS_TAG], if_match: true, ..PLAIN },
        "checkStock" => Extras { problems: &[MEDIA_TYPE, (422, "`invalid`, with every fault")], ..PLAIN },
        "adjustStock" => Extras {
            problems: &[
                NOT_FOUND,
                (409, "`below_allocated`; `idempotency_key_in_flight`"),
                MEDIA_TYPE,
                INVALID,
            ],
            key: true,
            tagged: true,
            located: true,
            ..PLAIN
        },
        "hold" => Extras {
            problems: &[
                (409, "`insufficient_stock`, with every short line in `lines`; `reservation_released`"),
                MEDIA_TYPE,
                (
                    422,
                    "`unknown_product`, with every such line in `lines`; `reservation_mismatch`; `invalid`",
                ),
            ],
            tagged: true,
            located: true,
            ..PLAIN
        },
        "commitReservation" => Extras {
            problems: &[
                NOT_FOUND,
                (409, "`reservation_released`; `idempotency_key_in_flight`"),
                (422, "`idempotency_key_reused`"),
            ],
            key: true,
            ..PLAIN
        },
        "releaseReservation" => Extras {
            problems: &[
                (409, "`reservation_released`: it is fulfilled; `idempotency_key_in_flight`"),
                (422, "`idempotency_key_reused`"),
            ],
            key: true,
            ..PLAIN
        },
        "settle" => Extras { problems: &[IN_FLIGHT, MEDIA_TYPE, INVALID], key: true, ..PLAIN },
        "importProducts" => Extras { problems: &[MEDIA_TYPE], ..PLAIN },
        _ => PLAIN,
    }
}

/// The OpenAPI 3.1 document of [`app`](super::app).
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let extras = extras(operation.operation_id.as_deref().unwrap_or_default());
            complete(operation, &extras);
        }
    }
    with_problems(document, &ALWAYS)
}

fn complete(operation: &mut Operation, extras: &Extras) {
    for (status, description) in extras.problems {
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem(description)));
    }
    let mut parameters = Vec::new();
    if extras.key {
        let description =
            "The same key and body again get the stored answer, with `Idempotency-Replayed: true`.";
        parameters.push(header("Idempotency-Key", description, KeyText::schema()));
    }
    if extras.if_match {
        parameters.push(header("If-Match", "Only if the product is as it was seen.", TagsText::schema()));
    }
    if extras.if_none_match {
        parameters.push(header("If-None-Match", "Only if it is not as it was seen.", TagsText::schema()));
        let not_modified = ResponseBuilder::new().description("It is as it was seen").build();
        operation.responses.responses.insert("304".into(), RefOr::T(not_modified));
    }
    operation.parameters.get_or_insert_default().extend(parameters.into_iter().map(RefOr::T));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let good = status.starts_with('2');
        let mut add = |name: &str, description: &str, pattern: &str| {
            let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build();
            let header = HeaderBuilder::new()
                .schema(Some(Schema::Object(text)))
                .description(Some(description))
                .build();
            response.headers.insert(name.into(), RefOr::T(header));
        };
        if extras.tagged && (good || status == "304") {
            add("ETag", "A strong tag of the version.", "^\"[0-9]+\"$");
        }
        if extras.located && status == "201" {
            add("Location", "Where it is.", "^/v1/");
        }
        if extras.paged && good {
            add("Link", "The next page, if there is one.", "^<.+>; rel=\"next\"$");
        }
        if extras.key && good {
            add("Idempotency-Replayed", "The stored answer to an earlier request with this key.", "^true$");
        }
    }
}

fn header(name: &str, description: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemSchema::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}
