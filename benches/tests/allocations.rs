//! A stock check from the view makes no heap allocation, however many lines it has.

use shop_benches::{Backend, Shop, sku};
use shop_products::{HoldLine, ProductRef};

#[tokio::test]
async fn a_check_allocates_nothing() {
    let shop = Shop::open(Backend::Memory, 1_000, 256).await;
    let by_id = shop.ids[..21].iter().copied().map(ProductRef::Id);
    let by_sku = (0..21).map(|n| ProductRef::Sku(sku(n)));
    for products in [by_id.collect::<Vec<_>>(), by_sku.collect()] {
        let lines: Vec<_> = products.into_iter().map(|product| HoldLine { product, quantity: 1 }).collect();
        let mut out = Vec::with_capacity(lines.len());
        let mut checked = None;
        let counted = allocation_counter::measure(|| {
            checked = Some(shop.products.view().check_into(&lines, &mut out));
        });
        assert_eq!((out.len(), checked.map(|checked| checked.misses)), (21, Some(0)));
        assert_eq!(counted.count_total, 0);
    }
}
