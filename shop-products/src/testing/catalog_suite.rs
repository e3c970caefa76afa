use std::sync::Arc;

use async_trait::async_trait;

use crate::{ProductCatalog, ProductService};

/// A catalogue, and the service that it is a way to.
#[derive(Debug)]
pub struct CatalogUnderTest<G> {
    /// Keeps what the catalogue needs alive (a server, a task).
    pub guard: G,
    /// The service behind it, for making products.
    pub service: ProductService,
    /// The catalogue.
    pub catalog: Arc<dyn ProductCatalog>,
}

/// Gives the suite catalogues to try.
#[async_trait]
pub trait ProductCatalogFactory: Send + Sync {
    /// Keeps what a catalogue needs alive.
    type Guard: Send + Sync;

    /// A catalogue of an empty shop.
    async fn fresh(&self) -> CatalogUnderTest<Self::Guard>;
}

/// Makes one `#[tokio::test]` a check of the [`ProductCatalog`](crate::ProductCatalog) contract, on the catalogues of a
/// [`ProductCatalogFactory`](crate::testing::ProductCatalogFactory).
#[macro_export]
macro_rules! catalog_suite {
    ($factory:expr) => {
        $crate::catalog_suite!(@each $factory;
            a_check_answers_every_line,
            a_hold_is_all_or_nothing,
            a_refusal_lists_every_line,
            the_same_hold_again_is_the_same_reservation,
            a_settled_reservation_refuses_its_hold,
            settlements_may_come_twice_and_out_of_order,
            a_shrunk_reservation_gives_back_the_difference,
            what_is_held_is_listed_a_page_at_a_time,
            every_reservation_is_listed_and_found_whatever_its_state,
            what_is_not_valid_is_refused,
            many_holds_at_once_take_each_unit_once,
        );
    };
    (@each $factory:expr; $($check:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                $crate::testing::catalog_checks::$check(&$factory).await;
            }
        )*
    };
}

/// The checks of the catalogue's suite, one function each. They panic with what is wrong.
pub mod catalog_checks {
    use std::time::Duration;

    use shop_core::{Limit, PageRequest};

    use super::ProductCatalogFactory;
    use crate::testing::fixtures::{line, request, settlement, stock, stocked};
    use crate::{
        CatalogError, HeldKey, HoldLine, LineStatus, ProductId, ProductRef, ReservationId, ReservationState,
        SettleAction, ShrinkLine, Stock,
    };

    fn by_sku(sku: &str, quantity: i64) -> HoldLine {
        HoldLine { product: ProductRef::Sku(sku.parse().unwrap()), quantity }
    }

    /// One answer a line, in order, by id and by SKU, unknown products too.
    pub async fn a_check_answers_every_line<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 5), ("b", 1)]).await;
        let nobody = ProductId::generate();
        let lines = [line(ids[0], 5), by_sku("b", 2), line(nobody, 1), by_sku("none", 1)];
        let check = shop.catalog.check(&lines).await.unwrap();
        use LineStatus::{Insufficient, Ok, Unknown};
        let told: Vec<_> = check.lines.iter().map(|l| (l.status, l.requested, l.available)).collect();
        assert_eq!(told, [(Ok, 5, 5), (Insufficient, 2, 1), (Unknown, 1, 0), (Unknown, 1, 0)]);
        assert_eq!(check.lines[0].sku.as_ref().map(|sku| sku.as_str()), Some("a"));
        assert_eq!(check.lines[1].product_id, Some(ids[1]));
        assert!(!check.available);
        assert!(shop.catalog.check(&lines[..1]).await.unwrap().available);
    }

    /// All lines or none; the answer has what an order needs to know.
    pub async fn a_hold_is_all_or_nothing<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 5), ("b", 1)]).await;
        let refused = shop.catalog.hold(&request(vec![line(ids[0], 1), line(ids[1], 2)])).await;
        assert!(matches!(refused, Err(CatalogError::InsufficientStock(_))), "{refused:?}");
        assert_eq!(stock(&shop.service, ids[0]).await.allocated, 0);
        let mut asked = request(vec![by_sku("b", 1), line(ids[0], 2), by_sku("a", 1)]);
        asked.expires_in = Some(Duration::from_secs(600));
        let held = shop.catalog.hold(&asked).await.unwrap();
        assert_eq!(
            (held.id, held.state, held.owner.as_deref()),
            (asked.id, ReservationState::Held, Some("orders"))
        );
        assert_eq!(held.expires_at, Some(held.created_at.plus(Duration::from_secs(600))));
        let lines: Vec<_> =
            held.lines.iter().map(|l| (l.product_id, l.sku.as_str(), l.name.as_str(), l.quantity)).collect();
        assert_eq!(lines, [(ids[1], "b", "Product b", 1), (ids[0], "a", "Product a", 3)]);
        assert_eq!(held.lines[0].unit_price.to_string(), "19.99 EUR");
        assert_eq!(stock(&shop.service, ids[0]).await.allocated, 3);
    }

    /// Every short line, or every line that cannot be ordered.
    pub async fn a_refusal_lists_every_line<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 1), ("b", 1), ("c", 9)]).await;
        let refused = shop.catalog.hold(&request(ids.iter().map(|id| line(*id, 2)).collect())).await;
        let Err(CatalogError::InsufficientStock(short)) = refused else { panic!("{refused:?}") };
        let told: Vec<_> =
            short.iter().map(|l| (l.product_id, l.sku.as_str(), l.requested, l.available)).collect();
        assert_eq!(told, [(ids[0], "a", 2, 1), (ids[1], "b", 2, 1)]);
        let nobody = ProductId::generate();
        let refused =
            shop.catalog.hold(&request(vec![line(nobody, 1), line(ids[2], 1), by_sku("none", 1)])).await;
        let Err(CatalogError::UnknownProducts(unknown)) = refused else { panic!("{refused:?}") };
        let told: Vec<_> = unknown
            .iter()
            .map(|l| (l.line, l.product_id, l.sku.as_ref().map(|s| s.as_str()), l.status))
            .collect();
        assert_eq!(
            told,
            [(0, Some(nobody), None, LineStatus::Unknown), (2, None, Some("none"), LineStatus::Unknown)]
        );
    }

    /// The same id and lines give the same reservation; other lines are refused.
    pub async fn the_same_hold_again_is_the_same_reservation<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 5)]).await;
        let asked = request(vec![line(ids[0], 2)]);
        let first = shop.catalog.hold(&asked).await.unwrap();
        for _ in 0..3 {
            assert_eq!(shop.catalog.hold(&asked).await.unwrap(), first);
        }
        let mut other = asked.clone();
        other.lines = vec![line(ids[0], 3)];
        let refused = shop.catalog.hold(&other).await;
        assert!(matches!(refused, Err(CatalogError::OtherLines)), "{refused:?}");
        assert_eq!(stock(&shop.service, ids[0]).await.allocated, 2);
    }

    /// Released, also before it was ever held, or fulfilled: the id is used up.
    pub async fn a_settled_reservation_refuses_its_hold<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 5)]).await;
        let late = request(vec![line(ids[0], 1)]);
        shop.catalog.settle(&[settlement(late.id, SettleAction::Release)]).await.unwrap();
        let refused = shop.catalog.hold(&late).await;
        assert!(matches!(refused, Err(CatalogError::Released(ReservationState::Released))), "{refused:?}");
        let shipped = request(vec![line(ids[0], 1)]);
        shop.catalog.hold(&shipped).await.unwrap();
        shop.catalog.settle(&[settlement(shipped.id, SettleAction::Fulfil)]).await.unwrap();
        let refused = shop.catalog.hold(&shipped).await;
        assert!(matches!(refused, Err(CatalogError::Released(ReservationState::Fulfilled))), "{refused:?}");
    }

    /// One outcome a settlement, in order; a repeated or late one changes nothing more.
    pub async fn settlements_may_come_twice_and_out_of_order<F: ProductCatalogFactory>(factory: &F) {
        use ReservationState::{Committed, Fulfilled, Released};
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 10)]).await;
        let (x, y) = (request(vec![line(ids[0], 1)]), request(vec![line(ids[0], 2)]));
        shop.catalog.hold(&x).await.unwrap();
        shop.catalog.hold(&y).await.unwrap();
        let nobody = ReservationId::generate();
        let first = [
            settlement(x.id, SettleAction::Commit),
            settlement(y.id, SettleAction::Release),
            settlement(nobody, SettleAction::Commit),
        ];
        for _ in 0..2 {
            let outcomes = shop.catalog.settle(&first).await.unwrap();
            let told: Vec<_> = outcomes.iter().map(|o| (o.reservation_id, o.state)).collect();
            assert_eq!(told, [(x.id, Some(Committed)), (y.id, Some(Released)), (nobody, None)]);
            assert_eq!(stock(&shop.service, ids[0]).await, Stock { on_hand: 10, allocated: 1 });
        }
        for _ in 0..2 {
            let late = [settlement(x.id, SettleAction::Fulfil), settlement(y.id, SettleAction::Commit)];
            let outcomes = shop.catalog.settle(&late).await.unwrap();
            assert_eq!(
                outcomes.iter().map(|o| o.state).collect::<Vec<_>>(),
                [Some(Fulfilled), Some(Released)]
            );
            assert_eq!(stock(&shop.service, ids[0]).await, Stock { on_hand: 9, allocated: 0 });
        }
        assert_eq!(shop.catalog.settle(&[]).await.unwrap(), []);
    }

    /// Down to absolute quantities, and never up.
    pub async fn a_shrunk_reservation_gives_back_the_difference<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 10), ("b", 10)]).await;
        let asked = request(vec![line(ids[0], 5), line(ids[1], 5)]);
        shop.catalog.hold(&asked).await.unwrap();
        for (keep, left) in [(3, 3), (3, 3), (5, 3)] {
            let action = SettleAction::Shrink(vec![ShrinkLine { product_id: ids[0], quantity: keep }]);
            shop.catalog.settle(&[settlement(asked.id, action)]).await.unwrap();
            assert_eq!(stock(&shop.service, ids[0]).await.allocated, left);
            assert_eq!(stock(&shop.service, ids[1]).await.allocated, 0);
        }
        let again = shop.catalog.hold(&asked).await.expect("the same hold, though it has less now");
        assert_eq!(again.lines.iter().map(|l| (l.quantity, l.held)).collect::<Vec<_>>(), [(3, 5), (0, 5)]);
    }

    /// Still held, of this owner, created before a time, oldest first.
    pub async fn what_is_held_is_listed_a_page_at_a_time<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 100)]).await;
        let mut expected = Vec::new();
        for n in 0..9 {
            let mut asked = request(vec![line(ids[0], 1)]);
            if n % 3 == 0 {
                asked.owner = Some("carts".to_owned());
            }
            let held = shop.catalog.hold(&asked).await.unwrap();
            match n {
                4 => drop(shop.catalog.settle(&[settlement(asked.id, SettleAction::Commit)]).await.unwrap()),
                5 => drop(shop.catalog.settle(&[settlement(asked.id, SettleAction::Release)]).await.unwrap()),
                n if n % 3 == 0 => {}
                _ => expected.push(HeldKey(held.created_at, held.id)),
            }
        }
        expected.sort_unstable();
        let later = shop.service.now().plus(Duration::from_secs(60));
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest { limit: Limit::new(2).unwrap(), after };
            let page = shop.catalog.held("orders", later, &request).await.unwrap();
            assert!(page.data.len() <= 2);
            found.extend(page.data.iter().map(|held| HeldKey(held.created_at, held.id)));
            let Some(cursor) = page.next_cursor else { break };
            after = Some(cursor.decode().unwrap());
        }
        assert_eq!(found, expected);
        let first = expected[0].0;
        let none = shop.catalog.held("orders", first, &PageRequest::default()).await.unwrap();
        assert!(none.data.is_empty(), "before, not at");
        let none = shop.catalog.held("nobody", later, &PageRequest::default()).await.unwrap();
        assert!(none.data.is_empty());
    }

    /// All of an owner in a list, whoever's by id; in every state, with what they have now.
    pub async fn every_reservation_is_listed_and_found_whatever_its_state<F: ProductCatalogFactory>(
        factory: &F,
    ) {
        use ReservationState::{Committed, Fulfilled, Held, Released};
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 100)]).await;
        let mut made = Vec::new();
        for action in
            [None, Some(SettleAction::Commit), Some(SettleAction::Release), Some(SettleAction::Fulfil)]
        {
            let asked = request(vec![line(ids[0], 2)]);
            shop.catalog.hold(&asked).await.unwrap();
            let told: Vec<_> = action.into_iter().map(|action| settlement(asked.id, action)).collect();
            shop.catalog.settle(&told).await.unwrap();
            made.push(asked.id);
        }
        let mut cart = request(vec![line(ids[0], 1)]);
        cart.owner = Some("carts".to_owned());
        shop.catalog.hold(&cart).await.unwrap();
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest { limit: Limit::new(3).unwrap(), after };
            let page = shop.catalog.reservations("orders", &request).await.unwrap();
            assert!(page.data.len() <= 3);
            listed.extend(page.data);
            let Some(cursor) = page.next_cursor else { break };
            after = Some(cursor.decode().unwrap());
        }
        let places: Vec<_> = listed.iter().map(|found| HeldKey(found.created_at, found.id)).collect();
        assert!(places.is_sorted() && listed.len() == 4, "{places:?}");
        let nobody = ReservationId::generate();
        let mut asked = made.clone();
        asked.extend([nobody, cart.id]);
        let mut found = shop.catalog.find(&asked).await.unwrap();
        assert_eq!(found.pop().flatten().map(|found| (found.id, found.owner)), Some((cart.id, cart.owner)));
        assert_eq!(found.pop(), Some(None), "products do not know it");
        let found: Vec<_> = found.into_iter().flatten().collect();
        let told: Vec<_> =
            found.iter().map(|found| (found.id, found.state, found.lines[0].quantity)).collect();
        let states = [Held, Committed, Released, Fulfilled];
        assert_eq!(told, made.iter().zip(states).map(|(id, state)| (*id, state, 2)).collect::<Vec<_>>());
        for found in &found {
            assert!(listed.contains(found), "{found:?}");
        }
        assert_eq!(shop.catalog.find(&[]).await.unwrap(), []);
    }

    /// No lines, too many, quantities out of range.
    pub async fn what_is_not_valid_is_refused<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 10)]).await;
        let too_many = vec![line(ids[0], 1); HoldLine::MAX_LINES + 1];
        for lines in
            [vec![], too_many, vec![line(ids[0], 0)], vec![line(ids[0], -1)], vec![line(ids[0], 1_000_001)]]
        {
            let refused = shop.catalog.hold(&request(lines)).await;
            assert!(matches!(refused, Err(CatalogError::Invalid(_))), "{refused:?}");
        }
        assert_eq!(stock(&shop.service, ids[0]).await.allocated, 0);
    }

    /// Many callers: each unit is taken once, and no more than there are.
    pub async fn many_holds_at_once_take_each_unit_once<F: ProductCatalogFactory>(factory: &F) {
        let shop = factory.fresh().await;
        let ids = stocked(&shop.service, &[("a", 20)]).await;
        let buyers: Vec<_> = (0..60)
            .map(|_| {
                let (catalog, asked) = (shop.catalog.clone(), request(vec![line(ids[0], 1)]));
                tokio::spawn(async move { catalog.hold(&asked).await })
            })
            .collect();
        let mut won = 0;
        for buyer in buyers {
            match buyer.await.unwrap() {
                Ok(_) => won += 1,
                Err(CatalogError::InsufficientStock(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 20);
        assert_eq!(stock(&shop.service, ids[0]).await, Stock { on_hand: 20, allocated: 20 });
    }
}
