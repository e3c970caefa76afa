//! Import and export, streamed both ways in constant memory.
//!
//! The bytes of a body become rows (`ndjson`, `csv_rows`), rows become batches, and a batch is one call of the service; its
//! answers go out before the next batch is read, so a slow reader slows the sender down. An export is a page after the
//! other, by SKU, so that the same products give the same bytes.

mod bom;
mod csv_columns;
mod csv_rows;
mod dry_run;
mod export;
mod import;
mod ndjson;
mod row;

pub(super) use export::{__path_export, export};
pub(super) use import::{__path_import, import};
