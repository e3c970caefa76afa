use crate::{StoreError, StoreErrorKind, StoreResult};

/// What the error of a schema change is about.
pub(crate) const CHANGE: &str = "change the schema";

/// The schema of one component, as the list of its changes.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Whose tables these are. Components may share a database.
    pub component: &'static str,
    /// Every change since the first, in order, each a script of SQL. What was released is never edited, only added to.
    pub migrations: &'static [&'static str],
}

impl Schema {
    /// The changes that a database of this version lacks, each with the version that it makes.
    pub(crate) fn missing(self, version: i64) -> StoreResult<impl Iterator<Item = (i64, &'static str)>> {
        let there = usize::try_from(version).unwrap_or(usize::MAX);
        let missing = self.migrations.get(there..).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Corrupt, CHANGE)
                .with_source("the database was written by a newer version of this program")
        })?;
        Ok((version + 1..).zip(missing.iter().copied()))
    }
}
