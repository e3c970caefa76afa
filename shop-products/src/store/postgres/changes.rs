use async_trait::async_trait;
use shop_core::StoreResult;
use shop_core::postgres::{PgFeed, PgHeard};

use super::rows::corrupt;
use crate::store::{ChangedProduct, ProductChange, ProductChanges};

/// Where each commit tells which products it has written.
pub(super) const CHANNEL: &str = "shop_products";

/// What the commits of all instances tell, by `NOTIFY` in the same transaction: it is heard if it is committed, and then
/// only, a millisecond or so afterwards.
#[derive(Debug)]
pub(super) struct PgProductChanges {
    pub(super) feed: PgFeed,
}

#[async_trait]
impl ProductChanges for PgProductChanges {
    async fn next(&mut self) -> StoreResult<ProductChange> {
        match self.feed.next().await? {
            PgHeard::Listening => Ok(ProductChange::Gap),
            PgHeard::Complete(at) => Ok(ProductChange::Current(at)),
            PgHeard::Told(payload) => {
                Ok(ProductChange::Changed(payload.split(',').map(changed).collect::<StoreResult<_>>()?))
            }
        }
    }
}

/// From `ID/VERSION`.
fn changed(text: &str) -> StoreResult<ChangedProduct> {
    let (id, version) = text.split_once('/').ok_or_else(|| corrupt("not a changed product"))?;
    Ok(ChangedProduct { id: id.parse().map_err(corrupt)?, version: Some(version.parse().map_err(corrupt)?) })
}
