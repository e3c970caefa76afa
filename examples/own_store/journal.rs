//! A product store of your own: an append-only journal, one JSON line an entry.
//!
//! What is in the journal is the truth; each instance keeps its own copy in memory and catches up before it reads or writes.
//! A write takes the file's lock, catches up, lets the copy check every expectation, and appends its line with an fsync.
//! Several processes may use one file. A line that a crash cut off is no line: the next commit writes over it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shop_core::{PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ProductStore, ReservationQuery, Snapshot,
};
use shop_products::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation};
use tokio::sync::Mutex;

/// A store in a journal.
#[derive(Debug, Clone)]
pub(crate) struct JournalStore(Arc<Mutex<Journal>>);

/// What a line says.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Entry {
    Commit(ChangeSet),
    Purge { before: Timestamp, limit: usize },
}

#[derive(Debug)]
struct Journal {
    file: File,
    /// All whole lines up to here are in `copy`.
    read: u64,
    copy: MemoryProductStore,
}

impl JournalStore {
    /// Opens a journal; a new one is empty.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(path: &Path) -> StoreResult<Self> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(disk("open"))?;
        Ok(Self(Arc::new(Mutex::new(Journal { file, read: 0, copy: MemoryProductStore::new() }))))
    }

    /// The copy in memory, with all that any instance has written by now.
    async fn current(&self) -> StoreResult<MemoryProductStore> {
        let mut journal = self.0.lock().await;
        journal.catch_up().await?;
        Ok(journal.copy.clone())
    }

    /// Writes in a task of its own: a caller that goes away must leave neither half a line nor the lock.
    async fn write(&self, entry: Entry) -> StoreResult<u64> {
        let journal = self.0.clone();
        let write = tokio::spawn(async move { journal.lock().await.write(&entry).await });
        write.await.map_err(|error| StoreError::new(StoreErrorKind::Unknown, "write").with_source(error))?
    }
}

impl Journal {
    /// Takes in what other instances have appended. Files are read in the task: a larger store would use a thread for it.
    async fn catch_up(&mut self) -> StoreResult<()> {
        let mut news = Vec::new();
        self.file.seek(SeekFrom::Start(self.read)).map_err(disk("read"))?;
        self.file.read_to_end(&mut news).map_err(disk("read"))?;
        let whole = news.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in news[..whole].split_inclusive(|byte| *byte == b'\n') {
            let entry: Entry = serde_json::from_slice(line)
                .map_err(|error| StoreError::new(StoreErrorKind::Corrupt, "read").with_source(error))?;
            self.apply(&entry).await?;
            self.read += line.len() as u64;
        }
        Ok(())
    }

    /// The copy decides whether every expectation holds. Whoever applies the same entries has the same copy.
    async fn apply(&self, entry: &Entry) -> StoreResult<u64> {
        match entry {
            Entry::Commit(changes) => self.copy.commit(changes).await.map(|()| 0),
            Entry::Purge { before, limit } => self.copy.purge(*before, *limit).await,
        }
    }

    async fn write(&mut self, entry: &Entry) -> StoreResult<u64> {
        self.file.lock().map_err(disk("lock"))?;
        let outcome = self.write_locked(entry).await;
        self.file.unlock().map_err(disk("unlock"))?;
        outcome
    }

    async fn write_locked(&mut self, entry: &Entry) -> StoreResult<u64> {
        self.catch_up().await?;
        let mut line = serde_json::to_vec(entry)
            .map_err(|error| StoreError::new(StoreErrorKind::Internal, "write").with_source(error))?;
        line.push(b'\n');
        // What the copy refuses is never written.
        let outcome = self.apply(entry).await?;
        if let Err(error) = self.append(&line) {
            // The copy has what the file may not have: read the file again from its beginning.
            (self.read, self.copy) = (0, MemoryProductStore::new());
            return Err(StoreError::new(StoreErrorKind::Unknown, "write").with_source(error));
        }
        self.read += line.len() as u64;
        Ok(outcome)
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        // A torn line that a crash left, of whichever instance, ends here.
        self.file.set_len(self.read)?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }
}

fn disk(operation: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |error| StoreError::new(StoreErrorKind::Unavailable, operation).with_source(error)
}

#[async_trait]
impl ProductStore for JournalStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.current().await?.load(footprint).await
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.write(Entry::Commit(changes.clone())).await.map(drop)
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        self.current().await?.products(query, page).await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.current().await?.count_products(query).await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        self.current().await?.reservations(query, page).await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        self.current().await?.adjustments(product, page).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        self.write(Entry::Purge { before, limit }).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.current().await.map(drop)
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        // Nothing here watches the file for the lines of other processes.
        None
    }
}
