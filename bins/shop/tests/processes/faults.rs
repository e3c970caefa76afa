use crate::support::client::product;
use crate::support::shop::Shop;

/// The open files of a folder that was removed take writes as ever, and nobody would find them again.
#[tokio::test]
async fn without_its_data_folder_a_shop_acknowledges_nothing() {
    let mut shop = Shop::start(&[]);
    let client = shop.client();
    client.product("A", 5).await;
    std::fs::remove_dir_all(shop.data()).unwrap();
    client.post("/v1/products", &product("B", 5)).await.problem(503, "unavailable");
    let ready = shop.operator().get("/readyz").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    for store in ["products store", "orders store"] {
        assert!(ready.text().contains(store), "{ready:?}");
    }
    assert!(shop.process.is_running());
    assert!(!shop.data().exists(), "it is not made anew");
    assert_eq!(shop.stop().0.code, 0);
}
