use std::time::Duration;

use super::commits::AT;
use crate::store::{ChangeSet, Footprint, ProductChange, StockChange};
use crate::testing::ProductStoreFactory;
use crate::testing::fixtures::{by_id, created, load, product};

/// A store that tells of changes begins with a gap, and tells of every commit of another instance, and that it is to be
/// seen, before it says that all until a later moment was told.
pub async fn what_others_commit_is_told<F: ProductStoreFactory>(factory: &F) {
    let (guard, store) = factory.fresh().await;
    let Some(mut changes) = store.changes() else { return };
    let other = factory.reopen(&guard).await;
    let one = product("one", 50, AT);
    created(&*other, std::slice::from_ref(&one)).await;
    assert_eq!(changes.next().await.unwrap(), ProductChange::Gap, "what was before may be missed");
    for version in 2..6 {
        let change = StockChange {
            product_id: one.id,
            on_hand: 1,
            allocated: 0,
            versions: 1,
            expected_edited_version: None,
        };
        other.commit(&ChangeSet { stock: vec![change], ..ChangeSet::default() }).await.unwrap();
        let done = load(&*store, Footprint::default()).await.now;
        let mut told = false;
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), changes.next());
            match next.await.expect("silent").unwrap() {
                ProductChange::Current(at) if at > done => break,
                ProductChange::Current(_) => {}
                ProductChange::Gap => told = true,
                ProductChange::Changed(changed) => {
                    let mut of_it = changed.iter().filter(|changed| changed.id == one.id);
                    told |= of_it.any(|changed| changed.version.is_none_or(|told| told >= version));
                }
            }
            if told {
                assert_eq!(by_id(&*store, one.id).await.unwrap().version, version);
            }
        }
        assert!(told, "version {version} was not told");
    }
}
