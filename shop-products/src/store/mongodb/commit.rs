//! A commit is one transaction: a command a collection, with a statement a document whose filter says what is expected,
//! so that the number of round trips is that of the collections and not of the lines.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mongodb::bson::{
    Document, RawArrayBuf, RawDocumentBuf, Uuid, doc, rawdoc, serialize_to_raw_document_buf,
};
use mongodb::error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::{ClientSession, Database};
use serde::Serialize;
use shop_core::{StoreError, StoreErrorKind, StoreResult, Timestamp};

use super::documents::{
    AdjustmentDoc, ProductDoc, RecordDoc, ReservationDoc, key, signed, state_code, unwritable,
};
use super::error::{INTERRUPTED, classified, code, kind_of_code};
use super::schema::{ADJUSTMENTS, PRODUCTS, RECORDS, RESERVATIONS};
use crate::store::{ChangeSet, ProductEdit, StockChange};
use crate::{Reservation, ReservationState};

const OPERATION: &str = "commit products";
/// A command is a document, of 16 MiB at most.
const MOST_BYTES: usize = 12 << 20;
/// The most statements that the server takes in one command.
const MOST_STATEMENTS: usize = 100_000;

/// A command of a transaction, and the number of documents that it must meet.
#[derive(Debug)]
pub(super) struct Part {
    command: RawDocumentBuf,
    expected: i64,
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Insert,
    Update,
}

/// The statements for one collection.
#[derive(Debug)]
struct Statements {
    collection: &'static str,
    verb: Verb,
    parts: Vec<Part>,
    gathered: RawArrayBuf,
    bytes: usize,
    count: usize,
    expected: i64,
}

impl Statements {
    fn new(collection: &'static str, verb: Verb) -> Self {
        Self {
            collection,
            verb,
            parts: Vec::new(),
            gathered: RawArrayBuf::new(),
            bytes: 0,
            count: 0,
            expected: 0,
        }
    }

    /// `expected`: how many documents it must meet.
    fn push(&mut self, statement: &impl Serialize, expected: usize) -> StoreResult<()> {
        let statement = serialize_to_raw_document_buf(statement).map_err(unwritable)?;
        let bytes = statement.as_bytes().len() + 16;
        if self.count == MOST_STATEMENTS || self.bytes + bytes > MOST_BYTES {
            self.close();
        }
        self.gathered.push(statement);
        self.bytes += bytes;
        self.count += 1;
        self.expected += i64::try_from(expected).unwrap_or(i64::MAX);
        Ok(())
    }

    fn close(&mut self) {
        if self.count == 0 {
            return;
        }
        let statements = std::mem::take(&mut self.gathered);
        let command = match self.verb {
            Verb::Insert => rawdoc! { "insert": self.collection, "ordered": true, "documents": statements },
            Verb::Update => rawdoc! { "update": self.collection, "ordered": true, "updates": statements },
        };
        self.parts.push(Part { command, expected: self.expected });
        (self.bytes, self.count, self.expected) = (0, 0, 0);
    }

    fn into_parts(mut self) -> Vec<Part> {
        self.close();
        self.parts
    }
}

/// A change set as the commands of its transaction. Products come first, by their ids, as every writer has them.
pub(super) fn parts(changes: &ChangeSet) -> StoreResult<Vec<Part>> {
    let mut products = Statements::new(PRODUCTS, Verb::Update);
    edits(&mut products, &changes.edited)?;
    for change in &changes.stock {
        products.push(&stock(change), 1)?;
    }
    let mut created = Statements::new(PRODUCTS, Verb::Insert);
    for product in &changes.created {
        created.push(&ProductDoc::of(product)?, 1)?;
    }
    let mut held = Statements::new(RESERVATIONS, Verb::Insert);
    let mut changed = Statements::new(RESERVATIONS, Verb::Update);
    let mut moves = BTreeMap::<Move, Vec<Uuid>>::new();
    for write in &changes.reservations {
        let reservation = &write.reservation;
        match write.expected {
            None => held.push(&ReservationDoc::of(reservation), 1)?,
            Some(from) if write.keeps_lines => {
                moves.entry(Move::of(from, reservation)).or_default().push(key(reservation.id.0));
            }
            Some((state, at)) => {
                let q = doc! { "_id": key(reservation.id.0), "state": state_code(state), "updated_at": at.as_millis() };
                changed.push(&Replace { q, u: ReservationDoc::of(reservation) }, 1)?;
            }
        }
    }
    for (way, ids) in &moves {
        changed.push(&way.of_all(ids), ids.len())?;
    }
    let mut adjustments = Statements::new(ADJUSTMENTS, Verb::Insert);
    for adjustment in &changes.adjustments {
        adjustments.push(&AdjustmentDoc::of(adjustment), 1)?;
    }
    let mut records = Statements::new(RECORDS, Verb::Insert);
    for record in &changes.records {
        records.push(&RecordDoc::of(record), 1)?;
    }
    let all = [products, created, held, changed, adjustments, records];
    Ok(all.into_iter().flat_map(Statements::into_parts).collect())
}

/// How a reservation changes that keeps its lines. Those of one batch were mostly made together and change together, which is
/// one statement: the server plans each anew.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    from: (i32, i64),
    to: (i32, i64),
    expires_at: Option<i64>,
}

impl Move {
    fn of((state, at): (ReservationState, Timestamp), to: &Reservation) -> Self {
        Self {
            from: (state_code(state), at.as_millis()),
            to: (state_code(to.state), to.updated_at.as_millis()),
            expires_at: to.expires_at.map(|at| at.as_millis()),
        }
    }

    fn of_all(&self, ids: &[Uuid]) -> Document {
        let (state, updated_at) = self.to;
        let change = match self.expires_at {
            Some(at) => doc! { "$set": { "state": state, "updated_at": updated_at, "expires_at": at } },
            None => {
                doc! { "$set": { "state": state, "updated_at": updated_at }, "$unset": { "expires_at": "" } }
            }
        };
        let expected = doc! { "_id": { "$in": ids }, "state": self.from.0, "updated_at": self.from.1 };
        // The index by state would do as well, which is not to be weighed each time.
        doc! { "q": expected, "u": change, "multi": true, "hint": { "_id": 1 } }
    }
}

#[derive(Serialize)]
struct Replace<T> {
    q: Document,
    u: T,
}

fn edits(products: &mut Statements, edited: &[ProductEdit]) -> StoreResult<()> {
    // Details that are what the decision saw are left, as by an adjustment.
    let (whole, stock): (Vec<&ProductEdit>, Vec<&ProductEdit>) =
        edited.iter().partition(|edit| edit.product.edited_version > edit.expected_version);
    if whole.len() > 1 {
        // Products of one commit may swap their SKUs: they are given up first.
        let ids: Vec<_> = whole.iter().map(|edit| key(edit.product.id.0)).collect();
        let give_up =
            doc! { "q": { "_id": { "$in": ids } }, "u": { "$set": { "live": false } }, "multi": true };
        products.push(&give_up, whole.len())?;
    }
    let expected =
        |edit: &ProductEdit| doc! { "_id": key(edit.product.id.0), "version": signed(edit.expected_version) };
    for edit in whole {
        products.push(&Replace { q: expected(edit), u: ProductDoc::of(&edit.product)? }, 1)?;
    }
    for edit in stock {
        let product = &edit.product;
        let set = doc! {
            "on_hand": product.stock.on_hand, "allocated": product.stock.allocated,
            "version": signed(product.version), "edited_version": signed(product.edited_version),
        };
        products.push(&Replace { q: expected(edit), u: doc! { "$set": set } }, 1)?;
    }
    Ok(())
}

/// What the stock may be is not said here, but by the collection (`schema`), which refuses all else whoever writes it: in
/// a filter it would be parsed and planned for each statement, about half of what the statement costs the server.
fn stock(change: &StockChange) -> Document {
    let mut filter = doc! { "_id": key(change.product_id.0) };
    if let Some(version) = change.expected_edited_version {
        filter.insert("edited_version", signed(version));
    }
    let by = doc! {
        "on_hand": change.on_hand, "allocated": change.allocated, "version": signed(change.versions),
    };
    doc! { "q": filter, "u": { "$inc": by } }
}

/// Runs the commands of a transaction, and commits it. To be run in a task that is never dropped. Tells in `begun` whose
/// transaction it is.
pub(super) async fn run(
    db: &Database,
    parts: Vec<Part>,
    commit_patience: Duration,
    begun: &OnceLock<Document>,
) -> StoreResult<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let failed = |error| classified(OPERATION, error);
    let mut session = db.client().start_session().await.map_err(failed)?;
    begun.get_or_init(|| session.id().clone());
    // With the client's concerns: majority and journal.
    session.start_transaction().await.map_err(failed)?;
    for part in parts {
        if let Err(error) = write(db, &mut session, part).await {
            // The server may have ended it already; that there is none is then no fault.
            let _ = session.abort_transaction().await;
            return Err(error);
        }
    }
    finish(&mut session, commit_patience).await
}

async fn write(db: &Database, session: &mut ClientSession, part: Part) -> StoreResult<()> {
    let answer = db.run_raw_command(part.command).session(session).await.map_err(refused)?;
    if let Some(fault) = answer.get_array("writeErrors").ok().and_then(|faults| faults.first()) {
        let code = fault.as_document().and_then(|fault| fault.get_i32("code").ok()).unwrap_or_default();
        return Err(StoreError::new(kind_of_code(code), OPERATION).with_source(format!("code {code}")));
    }
    let met = answer.get_i32("n").map_or(-1, i64::from);
    if met == part.expected { Ok(()) } else { Err(StoreError::conflict(OPERATION)) }
}

/// Of a command before the commit: whoever has interrupted it, nothing of the transaction is written.
fn refused(error: Error) -> StoreError {
    if code(&error) == Some(INTERRUPTED) {
        return StoreError::conflict(OPERATION).with_source(error);
    }
    classified(OPERATION, error)
}

/// Commits. While the result is unknown it is asked for again, which is the same commit.
async fn finish(session: &mut ClientSession, patience: Duration) -> StoreResult<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        let Err(error) = session.commit_transaction().await else { return Ok(()) };
        if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
            // The server has ended it, and says so.
            let kind = if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
                StoreErrorKind::Conflict
            } else {
                StoreErrorKind::Unknown
            };
            return Err(StoreError::new(kind, OPERATION).with_source(error));
        }
        if begun.elapsed() + pause > patience {
            return Err(StoreError::new(StoreErrorKind::Unknown, OPERATION).with_source(error));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
