use std::collections::BTreeMap;

use shop_core::PageRequest;
use shop_products::{HoldLine, ProductEditRequest, ProductPatch, ProductRef, ProductStatus};

use crate::store::OrderQuery;
use crate::testing::OrderStoreFactory;
use crate::testing::shop::{Shop, answer, fresh, keyed, lines, money, new, replayed};
use crate::{EventType, Order, OrderError, OrderPatch, OrderStatus};

fn to_lines(of: Vec<HoldLine>) -> OrderPatch {
    OrderPatch { lines: Some(of), ..OrderPatch::default() }
}

fn held(order: &Order) -> Vec<Vec<i64>> {
    order.holds.iter().map(|hold| hold.quantities.values().copied().collect()).collect()
}

/// New lines take what grows and give back what shrinks; what the order has keeps its price, what is new has today's.
pub async fn an_edit_takes_and_gives_the_difference(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "1.00 EUR", 10).await;
    let b = shop.product("B", "5.00 EUR", 10).await;
    let order = shop.place(&[(a, 4)]).await;
    let dearer = ProductPatch { price: Some(money("9.00 EUR")), ..ProductPatch::default() };
    shop.products.edit(&ProductRef::Id(a), None, ProductEditRequest::Patch(dearer)).await.expect("edit");

    // More of one, some of another.
    let edited =
        shop.orders.edit(order.id, Some(vec![1]), to_lines(lines(&[(a, 6), (b, 1)]))).await.expect("edit");
    assert_eq!((edited.version, edited.total), (2, money("11.00 EUR")), "A keeps its price, B has its own");
    assert_eq!(held(&edited), [vec![4], vec![2, 1]], "what grew is a second reservation");
    assert_eq!((shop.stock(a).await.allocated, shop.stock(b).await.allocated), (6, 1));
    // Both ways at once; the newest reservation gives first.
    let edited = shop.orders.edit(order.id, None, to_lines(lines(&[(b, 3), (a, 3)]))).await.expect("edit");
    assert_eq!((edited.version, edited.total), (3, money("18.00 EUR")));
    assert_eq!(
        edited.lines.iter().map(|line| (line.line, line.product_id)).collect::<Vec<_>>(),
        [(1, b), (2, a)]
    );
    shop.orders.settle_now().await.expect("settling");
    assert_eq!((shop.stock(a).await.allocated, shop.stock(b).await.allocated), (3, 3));
    shop.assert_sound().await;
    // All of a product goes; a reservation that holds nothing any more is released.
    let edited = shop.other.edit(order.id, None, to_lines(lines(&[(a, 1), (a, 1)]))).await.expect("edit");
    assert_eq!((edited.lines.len(), edited.total, held(&edited)), (2, money("2.00 EUR"), vec![vec![2]]));
    shop.assert_sound().await;
    // The same again changes nothing, and says so by the version.
    let same = shop.orders.edit(order.id, None, to_lines(lines(&[(a, 1), (a, 1)]))).await.expect("edit");
    assert_eq!(same, edited);
    fresh(shop.orders.cancel(order.id, None, None).await);
    shop.assert_sound().await;
    assert_eq!((shop.stock(a).await.allocated, shop.stock(b).await.allocated), (0, 0));
}

/// A refused edit leaves the order and its stock as they were.
pub async fn a_refused_edit_changes_nothing(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "1.00 EUR", 5).await;
    let b = shop.product("B", "100 JPY", 5).await;
    let order = shop.place(&[(a, 2)]).await;
    let edit = async |if_match: Option<Vec<u64>>, of: Vec<HoldLine>| {
        shop.orders.edit(order.id, if_match, to_lines(of)).await
    };
    let short = edit(None, lines(&[(a, 6)])).await;
    assert!(
        matches!(&short, Err(OrderError::InsufficientStock(lines)) if lines[0].requested == 4),
        "{short:?}"
    );
    let stale = edit(Some(vec![7, 8]), lines(&[(a, 3)])).await;
    assert!(matches!(stale, Err(OrderError::VersionMismatch { current: 1 })), "{stale:?}");
    let mixed = edit(None, lines(&[(a, 2), (b, 1)])).await;
    assert!(matches!(mixed, Err(OrderError::MixedCurrencies)), "{mixed:?}");
    assert_eq!(shop.stock(b).await.allocated, 0, "given back before the answer");
    let none = HoldLine { product: ProductRef::Sku("NONE".parse().expect("a SKU")), quantity: 1 };
    let unknown = edit(None, [lines(&[(a, 2)]), vec![none]].concat()).await;
    assert!(matches!(&unknown, Err(OrderError::UnknownProducts(lines)) if lines[0].line == 1), "{unknown:?}");
    let empty = edit(None, vec![]).await;
    assert!(matches!(empty, Err(OrderError::Invalid(_))), "{empty:?}");
    shop.assert_sound().await;
    assert_eq!(shop.orders.get(order.id).await.expect("there"), order);
    // Products down: what does not grow needs nobody; what grows is refused.
    let impatient = crate::OrderServiceConfig {
        place_deadline: std::time::Duration::from_millis(20),
        ..crate::testing::shop::by_hand()
    };
    let service = shop.service_over(shop.store.store.clone(), impatient);
    shop.catalog.set_down(true);
    let grows = service.edit(order.id, None, to_lines(lines(&[(a, 3)]))).await;
    assert!(matches!(grows, Err(OrderError::ProductsUnavailable)), "{grows:?}");
    let shrinks = service.edit(order.id, None, to_lines(lines(&[(a, 1)]))).await.expect("edit");
    assert_eq!(shrinks.version, 2);
    shop.catalog.set_down(false);
    shop.assert_sound().await;
}

/// A product that was given another SKU since is still the order's product.
pub async fn an_edit_knows_a_product_by_its_new_sku(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("OLD", "1.00 EUR", 10).await;
    let order = shop.place(&[(a, 2)]).await;
    let renamed = ProductPatch { sku: Some("NEW".parse().expect("a SKU")), ..ProductPatch::default() };
    shop.products.edit(&ProductRef::Id(a), None, ProductEditRequest::Patch(renamed)).await.expect("edit");
    for (sku, quantity) in [("NEW", 3), ("OLD", 5)] {
        let line = HoldLine { product: ProductRef::Sku(sku.parse().expect("a SKU")), quantity };
        let edited = shop.orders.edit(order.id, None, to_lines(vec![line])).await.expect("edit");
        assert_eq!((edited.lines[0].product_id, edited.lines[0].quantity), (a, quantity));
        assert_eq!(edited.lines[0].sku.as_str(), "OLD", "the order keeps its copy");
        shop.assert_sound().await;
    }
}

/// An edit that names a product by its new SKU takes just the difference: nothing is held for what does not grow, so it
/// may be sold out or archived.
pub async fn a_renamed_product_that_does_not_grow_needs_no_stock(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("OLD", "1.00 EUR", 5).await;
    let b = shop.product("B", "1.00 EUR", 5).await;
    let order = shop.place(&[(a, 5), (b, 1)]).await;
    let renamed = ProductPatch {
        sku: Some("NEW".parse().expect("a SKU")),
        status: Some(ProductStatus::Archived),
        ..ProductPatch::default()
    };
    shop.products.edit(&ProductRef::Id(a), None, ProductEditRequest::Patch(renamed)).await.expect("edit");
    let line =
        |sku: &str, quantity| HoldLine { product: ProductRef::Sku(sku.parse().expect("a SKU")), quantity };
    let held_before = shop.catalog.asked().len();
    let same = shop.orders.edit(order.id, None, to_lines(vec![line("NEW", 5), line("B", 1)])).await;
    assert_eq!(same.expect("nothing grows").version, 1);
    let less = shop.orders.edit(order.id, None, to_lines(vec![line("NEW", 2), line("NEW", 1)])).await;
    assert_eq!(held(&less.expect("it shrinks")), [vec![3]]);
    assert_eq!(shop.catalog.asked().len(), held_before, "nothing was held for it");
    let more = shop.orders.edit(order.id, None, to_lines(vec![line("NEW", 4)])).await;
    assert!(matches!(&more, Err(OrderError::UnknownProducts(lines)) if lines[0].line == 0), "{more:?}");
    shop.assert_sound().await;
}

/// Details merge: what is not named stays, what is null goes.
pub async fn a_details_edit_merges(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "1.00 EUR", 5).await;
    let mut asked = new(&[(a, 1)]);
    asked.details.customer_id = Some("c".to_owned());
    asked.details.metadata =
        [("keep", "1"), ("drop", "2"), ("set", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let order = fresh(shop.orders.place(asked, None).await);
    let patch = OrderPatch {
        customer_id: Some(None),
        reference: Some(Some("r".to_owned())),
        metadata: Some(
            [("drop", None), ("set", Some("4"))].map(|(k, v)| (k.to_owned(), v.map(str::to_owned))).into(),
        ),
        ..OrderPatch::default()
    };
    let edited = shop.other.edit(order.id, Some(vec![1]), patch).await.expect("edit");
    assert_eq!((edited.details.customer_id, edited.details.reference.as_deref()), (None, Some("r")));
    let left = BTreeMap::from([("keep", "1"), ("set", "4")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!(edited.details.metadata, left);
    assert_eq!((edited.version, edited.lines), (2, order.lines));
    let many = (0..49).map(|n| (format!("k{n}"), Some(String::new()))).collect();
    let too_many =
        shop.orders.edit(order.id, None, OrderPatch { metadata: Some(many), ..OrderPatch::default() }).await;
    assert!(matches!(too_many, Err(OrderError::Invalid(_))), "51 entries: {too_many:?}");
    shop.assert_sound().await;
}

/// Only the moves of the state machine are made, each once; keys answer again.
pub async fn only_legal_moves_are_made(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "1.00 EUR", 10).await;
    let order = shop.place(&[(a, 2)]).await;
    let early = shop.orders.deliver(order.id, None, None).await;
    let from_to = |error: &OrderError, f: OrderStatus, t: OrderStatus| matches!(error, OrderError::IllegalTransition { from, to } if (*from, *to) == (f, t));
    assert!(
        early.as_ref().is_err_and(|e| from_to(e, OrderStatus::Placed, OrderStatus::Delivered)),
        "{early:?}"
    );
    let stale = shop.orders.ship(order.id, Some(vec![9]), None).await;
    assert!(matches!(stale, Err(OrderError::VersionMismatch { current: 1 })), "{stale:?}");
    let shipped = fresh(shop.orders.ship(order.id, Some(vec![3, 1]), Some(keyed("s", "ship"))).await);
    assert_eq!((shipped.status, shipped.version), (OrderStatus::Shipped, 2));
    assert!(shipped.shipped_at.is_some());
    shop.assert_sound().await;
    assert_eq!((shop.stock(a).await.on_hand, shop.stock(a).await.allocated), (8, 0), "both fall together");
    assert_eq!(replayed(shop.other.ship(order.id, None, Some(keyed("s", "ship"))).await), answer(&shipped));
    for result in
        [shop.orders.ship(order.id, None, None).await, shop.orders.cancel(order.id, None, None).await]
    {
        assert!(
            matches!(result, Err(OrderError::IllegalTransition { from: OrderStatus::Shipped, .. })),
            "{result:?}"
        );
    }
    let edit = shop.orders.edit(order.id, None, to_lines(lines(&[(a, 3)]))).await;
    assert!(
        matches!(edit, Err(OrderError::IllegalTransition { from: OrderStatus::Shipped, .. })),
        "{edit:?}"
    );
    let delivered = fresh(shop.other.deliver(order.id, None, None).await);
    assert_eq!((delivered.status, delivered.version), (OrderStatus::Delivered, 3));
    let cancelled = shop.place(&[(a, 1)]).await;
    fresh(shop.orders.cancel(cancelled.id, None, None).await);
    let again = shop.orders.cancel(cancelled.id, None, None).await;
    assert!(
        matches!(again, Err(OrderError::IllegalTransition { from: OrderStatus::Cancelled, .. })),
        "{again:?}"
    );
    shop.assert_sound().await;
}

/// A deleted order gives back what it has, and is gone from every list; its events stay.
pub async fn deleting_cancels_and_hides(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "1.00 EUR", 10).await;
    let (placed, shipped) = (shop.place(&[(a, 2)]).await, shop.place(&[(a, 3)]).await);
    fresh(shop.orders.ship(shipped.id, None, None).await);
    let stale = shop.orders.delete(placed.id, Some(vec![2])).await;
    assert!(matches!(stale, Err(OrderError::VersionMismatch { current: 1 })), "{stale:?}");
    for id in [placed.id, shipped.id] {
        shop.orders.delete(id, None).await.expect("deleted");
        assert!(matches!(shop.other.get(id).await, Err(OrderError::NotFound)));
        assert!(matches!(shop.other.history(id, PageRequest::default()).await, Err(OrderError::NotFound)));
        assert!(matches!(shop.other.delete(id, None).await, Err(OrderError::NotFound)));
        assert!(matches!(shop.other.cancel(id, None, None).await, Err(OrderError::NotFound)));
        let edit = shop.other.edit(id, None, to_lines(lines(&[(a, 1)]))).await;
        assert!(matches!(edit, Err(OrderError::NotFound)), "{edit:?}");
    }
    let list = shop.orders.list(&OrderQuery::default(), PageRequest::default()).await.expect("list");
    assert_eq!((list.data, list.next_cursor), (vec![], None));
    shop.assert_sound().await;
    assert_eq!((shop.stock(a).await.on_hand, shop.stock(a).await.allocated), (7, 0));
    let kinds = |events: &[crate::Event]| events.iter().map(|event| event.kind).collect::<Vec<_>>();
    let events = shop.all_events().await;
    use EventType::{Cancelled, Deleted, Placed, Shipped};
    assert_eq!(kinds(&events), [Placed, Placed, Shipped, Cancelled, Deleted, Deleted]);
    let never = shop.orders.delete(crate::OrderId::generate(), None).await;
    assert!(matches!(never, Err(OrderError::NotFound)));
}

/// The log of all changes has each once, in order, and an order's history is its part of it.
pub async fn the_log_has_every_change_in_order(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "1.00 EUR", 1_000).await;
    let flows: Vec<_> = (0..12_usize)
        .map(|n| {
            let service = if n.is_multiple_of(2) { shop.orders.clone() } else { shop.other.clone() };
            tokio::spawn(async move {
                let order = fresh(service.place(new(&[(a, 2)]), None).await);
                service.edit(order.id, None, to_lines(lines(&[(a, 3)]))).await.expect("edit");
                if n.is_multiple_of(3) {
                    fresh(service.cancel(order.id, None, None).await);
                } else {
                    fresh(service.ship(order.id, None, None).await);
                    fresh(service.deliver(order.id, None, None).await);
                }
                order.id
            })
        })
        .collect();
    for flow in flows {
        let id = flow.await.expect("no panic");
        let first = PageRequest { limit: shop_core::Limit::new(2).expect("in range"), after: None };
        let page = shop.orders.history(id, first.clone()).await.expect("history");
        let after = page.next_cursor.expect("more than two").decode().expect("its own cursor");
        let rest =
            shop.orders.history(id, PageRequest { after: Some(after), ..first }).await.expect("history");
        let history: Vec<_> = page.data.into_iter().chain(rest.data).collect();
        let versions: Vec<u64> = history.iter().map(|event| event.order.version).collect();
        assert_eq!(versions, (1..=history.len() as u64).collect::<Vec<_>>());
        assert_eq!(history.last().map(|event| &event.order), Some(&shop.other.get(id).await.expect("there")));
        let all = shop.all_events().await;
        assert_eq!(all.into_iter().filter(|event| event.order_id == id).collect::<Vec<_>>(), history);
    }
    shop.assert_sound().await;
}

/// Row 14: an order keeps its copy of a product that is archived or deleted later, and its stock.
pub async fn row_14_an_archived_product_stays_in_its_orders(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let (a, b) = (shop.product("A", "1.00 EUR", 10).await, shop.product("B", "1.00 EUR", 10).await);
    let order = shop.place(&[(a, 4), (b, 4)]).await;
    let archive = ProductPatch { status: Some(ProductStatus::Archived), ..ProductPatch::default() };
    shop.products.edit(&ProductRef::Id(a), None, ProductEditRequest::Patch(archive)).await.expect("archived");
    let refused = shop.orders.place(new(&[(a, 1)]), None).await;
    assert!(matches!(refused, Err(OrderError::UnknownProducts(_))), "{refused:?}");
    assert_eq!(shop.orders.get(order.id).await.expect("there"), order);
    // It can still give back, and ship; what grows is refused.
    let grows = shop.orders.edit(order.id, None, to_lines(lines(&[(a, 5), (b, 4)]))).await;
    assert!(matches!(grows, Err(OrderError::UnknownProducts(_))), "{grows:?}");
    shop.orders.edit(order.id, None, to_lines(lines(&[(a, 3), (b, 2)]))).await.expect("edit");
    shop.assert_sound().await;
    fresh(shop.orders.ship(order.id, None, None).await);
    shop.assert_sound().await;
    assert_eq!(shop.stock(a).await.on_hand, 7);
}
