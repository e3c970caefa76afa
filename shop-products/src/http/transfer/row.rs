use serde::Serialize;
use shop_core::FieldError;

use crate::{ImportRow, ProductId, RowOutcome};

use super::super::problem::faults_of;
use super::super::schema::ProductIdText;

/// A row as it was read.
#[derive(Debug)]
pub(super) struct Row {
    /// Which row, from 1; a header is none, an empty line neither.
    pub(super) row: u64,
    /// The line that it begins on, from 1.
    pub(super) line: u64,
    /// Its SKU, as far as it could be read.
    pub(super) sku: Option<String>,
    /// What it says, or every fault of it.
    pub(super) content: Result<ImportRow, Vec<FieldError>>,
}

/// What became of it, as it is answered: one line of JSON.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ImportResult)]
pub(super) struct RowResult<'a> {
    /// Which row, from 1; a header is none, an empty line neither.
    row: u64,
    /// The line that a refused row begins on, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Its SKU, as far as it could be read.
    #[schema(required)]
    sku: Option<&'a str>,
    /// `incomplete`: the import ended before this row; the rows above stand.
    status: RowStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProductIdText, required = false)]
    product_id: Option<ProductId>,
    /// Why it was refused: every fault.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<shop_core::http::FieldErrorSchema>, required = false)]
    errors: &'a [FieldError],
}

/// What became of a row.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportStatus)]
pub(super) enum RowStatus {
    /// A new product.
    Created,
    /// A product that was there has other details or stock now.
    Updated,
    /// A product that was there is as the row says already.
    Unchanged,
    /// Nothing was done, for the reasons in `errors`.
    Refused,
    /// The import ended before this row.
    Incomplete,
}

/// Appends the answer to a row that could not be read.
pub(super) fn refused(out: &mut Vec<u8>, row: &Row, errors: &[FieldError]) {
    let sku = row.sku.as_deref();
    line(
        out,
        &RowResult {
            row: row.row,
            line: Some(row.line),
            sku,
            status: RowStatus::Refused,
            product_id: None,
            errors,
        },
    );
}

/// Appends the answer to a row that the service decided. `exists`: there is a product with the outcome's id.
pub(super) fn decided(out: &mut Vec<u8>, row: &Row, outcome: RowOutcome, exists: bool) {
    let (status, id) = match outcome {
        RowOutcome::Created(id) => (RowStatus::Created, id),
        RowOutcome::Updated(id) => (RowStatus::Updated, id),
        RowOutcome::Unchanged(id) => (RowStatus::Unchanged, id),
        RowOutcome::Refused(error) => return refused(out, row, &faults_of(error.into())),
    };
    let sku = row.sku.as_deref();
    line(
        out,
        &RowResult { row: row.row, line: None, sku, status, product_id: exists.then_some(id), errors: &[] },
    );
}

/// Appends the line that says that the import ended before its end.
pub(super) fn incomplete(out: &mut Vec<u8>, row: u64, errors: &[FieldError]) {
    line(
        out,
        &RowResult { row, line: None, sku: None, status: RowStatus::Incomplete, product_id: None, errors },
    );
}

fn line(out: &mut Vec<u8>, result: &RowResult<'_>) {
    serde_json::to_writer(&mut *out, result).expect("a result is plain data, and a vector takes it");
    out.push(b'\n');
}
