use serde_json::Value;

use crate::support::{Answer, Shop};

#[tokio::test]
async fn the_document_is_served_with_a_page_that_works_offline() {
    let shop = Shop::memory().await;
    let document = shop.get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let page = Answer::of(shop.request("GET", "/docs/")).await;
    assert_eq!(page.status, 200);
    assert!(page.text.to_lowercase().contains("swagger"), "{}", page.text);
    assert!(!page.text.contains("https://"), "nothing comes from elsewhere");
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let shop = Shop::memory().await;
    let document = shop.get("/openapi.json").await.expect(200);
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(reference) if name == "$ref" => references.push(reference.to_owned()),
                    _ => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
