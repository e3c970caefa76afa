//! `/openapi.json` and `/docs`: the service's description, and a page to try it on that needs no network.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING};
use http::{HeaderValue, StatusCode};
use utoipa::ToSchema;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_swagger_ui::Config;

use super::body::Body;
use super::reply::{self, Response, ResponseExt};
use super::request::Request;
use super::router::Router;
use crate::Problem;

/// An error (RFC 9457). Some codes have further members.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code, reason = "a description; the wire form is Problem::to_json")]
pub struct ProblemSchema {
    /// `urn:shop:problem:<code>`
    #[schema(example = "urn:shop:problem:not_found")]
    r#type: String,
    /// The same for every problem of this code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: Option<String>,
    /// Stable, for machines.
    #[schema(example = "not_found")]
    code: String,
    /// The id under which the log knows the request.
    request_id: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Every fault of the content.
    errors: Option<Vec<FieldErrorSchema>>,
}

/// One fault of a request's content.
#[derive(Debug, ToSchema)]
#[schema(as = FieldError)]
#[allow(dead_code, reason = "a description; the wire form is FieldError")]
pub struct FieldErrorSchema {
    /// A JSON pointer into the body (RFC 6901), or `?name` for a query parameter.
    #[schema(example = "/lines/0/quantity")]
    pointer: String,
    /// Stable, for machines.
    #[schema(example = "out_of_range")]
    code: String,
    /// For a person.
    detail: String,
}

/// An exact amount in an ISO 4217 currency.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Money)]
#[allow(dead_code, reason = "a description; the wire form is Money's")]
pub struct MoneySchema {
    /// A decimal string with at most the decimals that the currency has; never a float.
    #[schema(example = "19.99", pattern = r"^[0-9]+(\.[0-9]+)?$")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: String,
}

/// Adds the problem schemas, and to every operation the answers in `problems` that it does not describe itself:
/// `(status, description)`, each with a `Problem` as `application/problem+json`.
pub fn with_problems(mut document: OpenApi, problems: &[(u16, &str)]) -> OpenApi {
    use utoipa::openapi::{ComponentsBuilder, ContentBuilder, Ref, ResponseBuilder};
    use utoipa::{PartialSchema, ToSchema};

    let components = document.components.get_or_insert_with(|| ComponentsBuilder::new().build());
    components.schemas.insert(ProblemSchema::name().into_owned(), ProblemSchema::schema());
    components.schemas.insert(FieldErrorSchema::name().into_owned(), FieldErrorSchema::schema());
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
            &mut item.head,
            &mut item.options,
        ];
        for operation in operations.into_iter().flatten() {
            for (status, description) in problems {
                let reference = Ref::from_schema_name(ProblemSchema::name());
                operation.responses.responses.entry(status.to_string()).or_insert_with(|| {
                    RefOr::T(
                        ResponseBuilder::new()
                            .description(*description)
                            .content(
                                "application/problem+json",
                                ContentBuilder::new().schema(Some(reference)).build(),
                            )
                            .build(),
                    )
                });
            }
        }
    }
    document
}

#[derive(Clone)]
struct Docs {
    document: Bytes,
    page: Arc<Config<'static>>,
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// Adds `/openapi.json`, and `/docs` with Swagger UI from this very binary.
    ///
    /// # Panics
    /// When the document has no JSON form, or a route stands there already.
    #[must_use]
    pub fn openapi(self, document: &OpenApi) -> Self {
        let document = serde_json::to_vec(document).expect("an OpenAPI document is plain data");
        // Relative to /docs/, so that it works behind a gateway that adds a prefix too.
        let page = Arc::new(Config::from("../openapi.json"));
        let docs = Docs { document: document.into(), page };
        self.merge(
            Router::new(docs)
                .get("/openapi.json", openapi_json)
                .get("/docs", to_docs)
                .get("/docs/", docs_file)
                .get("/docs/{*file}", docs_file),
        )
    }
}

async fn openapi_json(docs: Docs, _: Request) -> Result<Response, Problem> {
    Ok(reply::json_bytes(StatusCode::OK, docs.document))
}

async fn to_docs(_: Docs, _: Request) -> Result<Response, Problem> {
    Ok(reply::empty(StatusCode::PERMANENT_REDIRECT).with_location("docs/"))
}

async fn docs_file(docs: Docs, request: Request) -> Result<Response, Problem> {
    let name = request.path().strip_prefix("/docs/").unwrap_or_default().to_owned();
    let file = utoipa_swagger_ui::serve(&name, docs.page).map_err(|error| {
        tracing::error!(target: "shop_core::http", %error, file = name, "a file of the page cannot be made");
        Problem::internal()
    })?;
    let Some(file) = file else { return Err(Problem::not_found(format!("there is no file {name}"))) };
    let content_type = HeaderValue::from_str(&file.content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let mut response = reply::raw(StatusCode::OK, content_type, Body::full(file.bytes.into_owned()))
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if file.gzpipped {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
