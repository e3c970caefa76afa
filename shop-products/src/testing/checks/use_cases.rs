use std::task::{Context, Poll, Waker};

use shop_core::PageRequest;
use shop_core::idempotency::{Answered, Fingerprint, Idempotency, Keyed, StoredAnswer};

use crate::testing::ProductStoreFactory;
use crate::testing::fixtures::{details, line, new_product, request, service, stock, stocked};
use crate::{
    HoldLine, ImportRow, LineStatus, NewAdjustment, Product, ProductDetails, ProductEditRequest,
    ProductError, ProductPatch, ProductRef, RowOutcome, Stock,
};

fn keyed(key: &str, content: &str) -> Keyed<Product> {
    Keyed {
        idempotency: Idempotency {
            key: key.parse().unwrap(),
            fingerprint: Fingerprint::of_request("POST", "/v1/products", content.as_bytes()),
        },
        answer: |product| StoredAnswer {
            status: 201,
            location: Some(format!("/v1/products/{}", product.id)),
            etag: Some("\"1\"".to_owned()),
            body: product.details.name.clone(),
        },
    }
}

/// A key is done once, by whichever instance; its answer is given again; with other content it is refused; a refusal
/// leaves no record.
pub async fn a_key_is_done_once<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let calls: Vec<_> = (0..12)
        .map(|n| {
            let service = services[n % 2].clone();
            // SKUs of their own: only the key stops the others.
            let new = new_product(&format!("sku-{n}"), 1);
            tokio::spawn(async move { service.create(new, Some(keyed("k", "same"))).await })
        })
        .collect();
    let (mut fresh, mut replayed) = (Vec::new(), Vec::new());
    for call in calls {
        match call.await.unwrap() {
            Ok(Answered::Fresh(product)) => fresh.push(product),
            Ok(Answered::Replayed(answer)) => replayed.push(answer),
            Err(ProductError::KeyInFlight) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(fresh.len(), 1, "done once");
    let answer = (keyed("k", "same").answer)(&fresh[0]);
    assert!(replayed.iter().all(|replayed| *replayed == answer));
    for service in &services {
        let again = service.create(new_product("sku-0", 1), Some(keyed("k", "same"))).await.unwrap();
        assert_eq!(again, Answered::Replayed(answer.clone()));
        let other = service.create(new_product("other", 1), Some(keyed("k", "other"))).await;
        assert!(matches!(other, Err(ProductError::KeyReused)), "{other:?}");
        assert_eq!(service.count(&Default::default()).await.unwrap(), 1);
    }
    let taken = fresh[0].details.sku.as_str();
    let refused = services[0].create(new_product(taken, 1), Some(keyed("refused", "x"))).await;
    assert!(matches!(refused, Err(ProductError::DuplicateSku)), "{refused:?}");
    let anew = services[1].create(new_product("free", 1), Some(keyed("refused", "y"))).await;
    assert!(matches!(anew, Ok(Answered::Fresh(_))), "a refusal leaves no record: {anew:?}");
}

/// Of two edits that saw the same version one is done, whichever instances they go to.
pub async fn a_stale_version_is_refused<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let id = stocked(&services[0], &[("a", 5)]).await[0];
    let mut version = 1;
    for round in 0..5 {
        let edit = async |n: usize| {
            let details = ProductDetails { name: format!("name {round} by {n}"), ..details("a") };
            services[n]
                .edit(&ProductRef::Id(id), Some(vec![version]), ProductEditRequest::Replace(details))
                .await
        };
        let outcomes = <[_; 2]>::from(tokio::join!(edit(0), edit(1)));
        let done: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(done.len(), 1, "one of two: {outcomes:?}");
        version = done[0].version;
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(
                matches!(refused, ProductError::VersionMismatch { current } if *current == version),
                "{refused:?}"
            );
        }
        let kept = services[round % 2].get(&ProductRef::Id(id)).await.unwrap();
        assert_eq!(&kept, done[0]);
    }
    let deleted = services[0].delete(&ProductRef::Id(id), Some(vec![version - 1])).await;
    assert!(matches!(deleted, Err(ProductError::VersionMismatch { .. })), "{deleted:?}");
    services[1].delete(&ProductRef::Id(id), Some(vec![1, version])).await.unwrap();
    let gone =
        services[0].edit(&ProductRef::Id(id), None, ProductEditRequest::Patch(ProductPatch::default())).await;
    assert!(matches!(gone, Err(ProductError::NotFound)), "{gone:?}");
}

/// Stock that moves raises the version, but does not make an edit stale; and an edit loses no unit.
pub async fn stock_that_moves_stands_in_no_edits_way<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let id = stocked(&services[0], &[("a", 1_000)]).await[0];
    let holds = async |service: usize| {
        for _ in 0..15 {
            services[service].hold(&request(vec![line(id, 1)])).await.unwrap();
        }
    };
    let edits = async || {
        let mut seen = 1;
        for n in 0..15 {
            let patch = ProductPatch { name: Some(format!("name {n}")), ..ProductPatch::default() };
            let edit = ProductEditRequest::Patch(patch);
            let edited = services[0].edit(&ProductRef::Id(id), Some(vec![seen]), edit).await.unwrap();
            assert!(edited.version > seen && edited.edited_version == edited.version);
            seen = edited.version;
        }
    };
    tokio::join!(holds(0), holds(1), edits());
    let product = services[1].get(&ProductRef::Id(id)).await.unwrap();
    assert_eq!(
        (product.stock, product.details.name.as_str()),
        (Stock { on_hand: 1_000, allocated: 30 }, "name 14")
    );
    assert_eq!(product.version, 1 + 30 + 15, "every change raises the version by one");
}

/// `on_hand` never falls below what is allocated; every adjustment says what `on_hand` was after it.
pub async fn adjustments_never_go_below_what_is_allocated<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let services = [service(store), service(factory.reopen(&guard).await)];
    let id = stocked(&services[0], &[("a", 10)]).await[0];
    let product = ProductRef::Id(id);
    services[0].hold(&request(vec![line(id, 4)])).await.unwrap();
    let adjust = async |n: usize, delta: i64| {
        let new = NewAdjustment { delta, reason: "count".into(), reference: None };
        services[n].adjust(&product, new, None).await
    };
    let refused = adjust(1, -7).await;
    assert!(matches!(refused, Err(ProductError::BelowAllocated { on_hand: 3, allocated: 4 })), "{refused:?}");
    assert!(matches!(adjust(0, 0).await, Err(ProductError::Invalid(_))));
    assert!(matches!(adjust(0, Stock::MAX).await, Err(ProductError::Invalid(_))));
    let (a, b, c, d) = tokio::join!(adjust(0, 5), adjust(1, 7), adjust(0, -3), adjust(1, 1));
    for outcome in [a, b, c, d] {
        let (adjustment, product) = outcome.unwrap().fresh().unwrap();
        assert_eq!(product.stock.on_hand, adjustment.on_hand);
    }
    assert_eq!(stock(&services[0], id).await, Stock { on_hand: 20, allocated: 4 });
    let mut listed = services[1].adjustments(&product, &PageRequest::default()).await.unwrap().data;
    assert_eq!(listed.len(), 4);
    // In the order in which they were done, each begins where the one before ended.
    let mut on_hand = 10;
    while let Some(next) =
        listed.iter().position(|adjustment| adjustment.on_hand - adjustment.delta == on_hand)
    {
        on_hand = listed.remove(next).on_hand;
    }
    assert!(listed.is_empty() && on_hand == 20, "what is recorded is what happened: {listed:?}");
    assert!(matches!(
        services[0].adjustments(&ProductRef::Sku("no".parse().unwrap()), &PageRequest::default()).await,
        Err(ProductError::NotFound)
    ));
}

/// One outcome a row, in order; a row twice is done in order; what is there already is left; a dry run does nothing.
pub async fn an_import_says_what_became_of_each_row<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let ids = stocked(&service, &[("a", 5), ("b", 5)]).await;
    service.hold(&request(vec![line(ids[0], 3)])).await.unwrap();
    let row = |sku: &str, name: &str, on_hand: Option<i64>| ImportRow {
        details: ProductDetails { name: name.to_owned(), ..details(sku) },
        on_hand,
    };
    let rows = vec![
        row("new", "New", Some(4)),
        row("new", "Newer", None),
        row("a", "Product a", Some(5)),
        row("a", "A", Some(2)),
        row("b", "B", Some(1)),
        row("b", "", Some(-1)),
        row("c", "C", None),
    ];
    let told = |outcomes: &[RowOutcome]| -> Vec<&'static str> {
        outcomes
            .iter()
            .map(|outcome| match outcome {
                RowOutcome::Created(_) => "created",
                RowOutcome::Updated(_) => "updated",
                RowOutcome::Unchanged(_) => "unchanged",
                RowOutcome::Refused(ProductError::Invalid(faults)) if faults.len() == 2 => "invalid",
                RowOutcome::Refused(ProductError::BelowAllocated { on_hand: 2, allocated: 3 }) => "below",
                RowOutcome::Refused(_) => "refused otherwise",
            })
            .collect()
    };
    let expected = ["created", "updated", "unchanged", "below", "updated", "invalid", "created"];
    assert_eq!(told(&service.import_batch(rows.clone(), true).await.unwrap()), expected);
    assert_eq!(service.count(&Default::default()).await.unwrap(), 2, "a dry run does nothing");
    assert_eq!(told(&service.import_batch(rows.clone(), false).await.unwrap()), expected);
    let new = service.get(&ProductRef::Sku("new".parse().unwrap())).await.unwrap();
    assert_eq!((new.details.name.as_str(), new.stock.on_hand), ("Newer", 4));
    assert_eq!(stock(&service, ids[1]).await.on_hand, 1);
    let again =
        service.import_batch(vec![row("new", "Newer", Some(4)), row("b", "B", None)], false).await.unwrap();
    assert_eq!(told(&again), ["unchanged", "unchanged"]);
    // As many as a file has.
    let many: Vec<_> = (0..700).map(|n| row(&format!("many-{n}"), "Many", Some(n))).collect();
    let outcomes = service.import_batch(many, false).await.unwrap();
    assert!(
        outcomes.len() == 700 && outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Created(_)))
    );
}

/// A caller that goes away loses its answer; what it handed over is done, once, and others are served.
pub async fn a_caller_that_goes_away_loses_only_the_answer<F: ProductStoreFactory>(factory: &F) {
    let (_guard, store) = factory.fresh().await;
    let service = service(store);
    let id = stocked(&service, &[("a", 1_000)]).await[0];
    let requests: Vec<_> = (0..30).map(|_| request(vec![line(id, 1)])).collect();
    for (n, asked) in requests.iter().enumerate() {
        let mut hold = Box::pin(service.hold(asked));
        for _ in 0..=n % 5 {
            if matches!(hold.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_)) {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Asked again each is held once, whether the first call got so far or not.
    for asked in &requests {
        service.hold(asked).await.unwrap();
    }
    assert_eq!(stock(&service, id).await.allocated, 30);
    service.shutdown().await;
    assert!(matches!(service.hold(&request(vec![line(id, 1)])).await, Err(ProductError::Unavailable(_))));
    assert_eq!(stock(&service, id).await.allocated, 30, "it can be read still");
}

/// A check, by id or SKU, in one line or several, shows what this instance wrote last.
pub async fn a_check_shows_what_was_written_last<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let first = service(store);
    let ids = stocked(&first, &[("a", 5), ("b", 1)]).await;
    // One that has seen none of it made.
    let second = service(factory.reopen(&guard).await);
    let by_sku = |sku: &str, quantity| HoldLine { product: ProductRef::Sku(sku.parse().unwrap()), quantity };
    for service in [&first, &second] {
        let lines = [line(ids[0], 5), by_sku("a", 5), by_sku("b", 1), by_sku("none", 1)];
        let check = service.check(&lines[..1]).await.unwrap();
        assert!(check.available && check.lines[0].sku.as_ref().unwrap().as_str() == "a");
        let check = service.check(&lines).await.unwrap();
        use LineStatus::{Insufficient, Ok, Unknown};
        let statuses: Vec<_> = check.lines.iter().map(|line| line.status).collect();
        assert_eq!(
            statuses,
            [Insufficient, Insufficient, Ok, Unknown],
            "two lines of one product are judged together"
        );
        assert!(!check.available);
    }
    for n in 1..=5 {
        first.hold(&request(vec![line(ids[0], 1)])).await.unwrap();
        let check = first.check(&[by_sku("a", 5 - n + 1)]).await.unwrap();
        assert_eq!((check.lines[0].available, check.lines[0].status), (5 - n, LineStatus::Insufficient));
    }
    first.delete(&ProductRef::Id(ids[0]), None).await.unwrap();
    let check = first.check(&[line(ids[0], 1), by_sku("a", 1)]).await.unwrap();
    assert!(check.lines.iter().all(|line| line.status == LineStatus::Unknown), "{check:?}");
    assert!(matches!(first.check(&[]).await, Err(ProductError::Invalid(_))));
}
