//! `/openapi.json` and `/docs`, which must work without a network.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod support;

use shop_core::http::{ProblemSchema, Router, reply, with_problems};
use support::{ask, serve};
use utoipa::OpenApi;

#[utoipa::path(
    get,
    path = "/v1/x",
    responses((status = 204, description = "done"), (status = 409, description = "own", body = ProblemSchema, content_type = "application/problem+json"))
)]
#[allow(dead_code, reason = "only its description is used")]
fn x() {}

#[derive(OpenApi)]
#[openapi(paths(x))]
struct Document;

#[tokio::test]
async fn the_description_and_its_page_come_from_the_binary() {
    let document = with_problems(Document::openapi(), &[(400, "malformed"), (409, "conflict")]);
    let app = Router::new(())
        .get("/v1/x", |(), _| async { Ok(reply::no_content()) })
        .openapi(&document)
        .into_app(shop_core::service!("demo"));
    let server = serve(app).await;
    let get =
        async |path: &str| ask(server.address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;

    let json = get("/openapi.json").await.json();
    assert!(json["openapi"].as_str().unwrap().starts_with("3.1"), "{json}");
    let responses = &json["paths"]["/v1/x"]["get"]["responses"];
    assert_eq!(responses["409"]["description"], "own", "what an operation says itself stays");
    let schema = &responses["400"]["content"]["application/problem+json"]["schema"]["$ref"];
    let name = schema.as_str().unwrap().strip_prefix("#/components/schemas/").unwrap();
    assert_eq!(schema, &responses["409"]["content"]["application/problem+json"]["schema"]["$ref"]);
    let properties = &json["components"]["schemas"][name]["properties"];
    let item = properties["errors"]["items"]["$ref"].as_str().unwrap();
    assert!(
        json["components"]["schemas"][item.strip_prefix("#/components/schemas/").unwrap()].is_object(),
        "{json}"
    );

    let answer = get("/docs").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("docs/")));
    let page = get("/docs/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    // Everything that the page names is served from here, and nothing is asked of another host.
    assert!(!page.body.contains("src=\"http") && !page.body.contains("href=\"http"), "{}", page.body);
    let mut files = 0;
    for part in page.body.split(['"', '\'']).filter_map(|text| text.strip_prefix("./")) {
        let answer = get(&format!("/docs/{part}")).await;
        assert_eq!(answer.status, 200, "{part}");
        files += 1;
    }
    assert!(files >= 3, "{}", page.body);
    let initializer = get("/docs/swagger-initializer.js").await;
    assert!(initializer.body.contains("../openapi.json"), "{}", initializer.body);
    assert_eq!(get("/docs/nothing.js").await.status, 404);
}
