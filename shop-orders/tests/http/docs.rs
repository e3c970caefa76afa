use serde_json::Value;

use crate::support::{On, on_every_store};

on_every_store!(the_description_is_of_what_is_there, the_page_is_there);

async fn the_description_is_of_what_is_there(on: On) {
    let shop = on.shop().await;
    let document = shop.get("/openapi.json").send().await.ok(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods: Vec<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let target = path.replace("{id}", "0198c0de-0000-7000-8000-000000000000");
        let reply = shop.call("OPTIONS", &target).send().await;
        let mut allowed: Vec<&str> = reply.header("allow").unwrap().split(", ").collect();
        allowed.retain(|method| !["HEAD", "OPTIONS"].contains(method));
        allowed.sort_unstable();
        let mut described: Vec<&str> = methods.iter().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, allowed, "{path}");
        operations
            .extend(item.as_object().unwrap().values().map(|operation| (path.clone(), operation.clone())));
    }
    assert_eq!(operations.len(), 10, "every path of the contract");
    for (path, operation) in &operations {
        let responses = operation["responses"].as_object().unwrap();
        for status in ["400", "500", "503"] {
            assert!(responses.contains_key(status), "{path}: {status}");
        }
        for (status, response) in responses {
            let content = response["content"].as_object();
            let types: Vec<_> =
                content.map(|types| types.keys().map(String::as_str).collect()).unwrap_or_default();
            match status.as_str() {
                "204" | "304" => assert_eq!(types, [""; 0], "{path}: {status}"),
                "200" | "201" => assert_eq!(types, ["application/json"], "{path}: {status}"),
                _ => assert_eq!(types, ["application/problem+json"], "{path}: {status}"),
            }
        }
    }
    let mut names: Vec<&Value> = operations.iter().map(|(_, operation)| &operation["operationId"]).collect();
    names.sort_by_key(|name| name.to_string());
    names.dedup();
    assert_eq!(names.len(), 10, "each has a name of its own");
}

async fn the_page_is_there(on: On) {
    let shop = on.shop().await;
    let redirect = shop.get("/docs").send().await;
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("docs/")));
    let page = shop.get("/docs/").send().await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
}
