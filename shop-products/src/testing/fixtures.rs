use std::sync::Arc;

use shop_core::{Currency, Money, SystemClock, Timestamp};

use crate::store::{ChangeSet, Footprint, Snapshot};
use crate::{
    HoldLine, HoldRequest, NewProduct, Product, ProductDetails, ProductError, ProductId, ProductRef,
    ProductService, ProductServiceConfig, ProductStatus, ProductStore, ReservationId, SettleAction,
    Settlement, Stock,
};

/// Details of an active product: its SKU, and all else ordinary.
pub fn details(sku: &str) -> ProductDetails {
    ProductDetails {
        sku: sku.parse().unwrap(),
        name: format!("Product {sku}"),
        description: String::new(),
        price: Money::from_minor(1_999, Currency::EUR),
        attributes: [].into(),
        tags: Vec::new(),
        status: ProductStatus::Active,
    }
}

/// A product to be made, with so many units.
pub fn new_product(sku: &str, on_hand: i64) -> NewProduct {
    NewProduct { details: details(sku), on_hand }
}

/// A product as a store keeps it, made at `at` milliseconds.
pub fn product(sku: &str, on_hand: i64, at: i64) -> Product {
    let at = Timestamp::from_millis(at);
    Product {
        id: ProductId::generate(),
        details: details(sku),
        stock: Stock { on_hand, allocated: 0 },
        version: 1,
        edited_version: 1,
        created_at: at,
        updated_at: at,
        deleted_at: None,
    }
}

/// A line by id.
pub fn line(product: ProductId, quantity: i64) -> HoldLine {
    HoldLine { product: ProductRef::Id(product), quantity }
}

/// A hold under a new id, of `owner: "orders"`.
pub fn request(lines: Vec<HoldLine>) -> HoldRequest {
    HoldRequest { id: ReservationId::generate(), owner: Some("orders".to_owned()), lines, expires_in: None }
}

/// What is said of a reservation.
pub fn settlement(reservation_id: ReservationId, action: SettleAction) -> Settlement {
    Settlement { reservation_id, action }
}

pub(super) fn service(store: Arc<dyn ProductStore>) -> ProductService {
    ProductService::start(store, Arc::new(SystemClock), ProductServiceConfig::default())
}

/// Makes products of these SKUs with so many units each.
pub(super) async fn stocked(service: &ProductService, skus: &[(&str, i64)]) -> Vec<ProductId> {
    let mut ids = Vec::new();
    for (sku, on_hand) in skus {
        let made = service.create(new_product(sku, *on_hand), None).await.unwrap();
        ids.push(made.fresh().unwrap().id);
    }
    ids
}

pub(super) async fn stock(service: &ProductService, id: ProductId) -> Stock {
    service.get(&ProductRef::Id(id)).await.unwrap().stock
}

pub(super) async fn created(store: &dyn ProductStore, products: &[Product]) {
    store.commit(&ChangeSet { created: products.to_vec(), ..ChangeSet::default() }).await.unwrap();
}

pub(super) async fn by_id(store: &dyn ProductStore, id: ProductId) -> Option<Product> {
    let footprint = Footprint { products: [id].into(), ..Footprint::default() };
    store.load(&footprint).await.unwrap().products.remove(&id)
}

pub(super) async fn load(store: &dyn ProductStore, footprint: Footprint) -> Snapshot {
    store.load(&footprint).await.unwrap()
}

/// A thousand buyers want the only unit of a product, by turns from each of these instances of one store. One gets it.
///
/// # Panics
/// If not.
pub async fn a_thousand_buyers_want_one_unit(services: &[ProductService]) {
    let id = services[0].create(new_product("one", 1), None).await.unwrap().fresh().unwrap().id;
    let buyers: Vec<_> = (0..1_000)
        .map(|n| {
            let service = services[n % services.len()].clone();
            tokio::spawn(async move { service.hold(&request(vec![line(id, 1)])).await })
        })
        .collect();
    let (mut held, mut refused) = (0, 0);
    for buyer in buyers {
        match buyer.await.unwrap() {
            Ok(_) => held += 1,
            Err(ProductError::InsufficientStock(_)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((held, refused), (1, 999));
}
