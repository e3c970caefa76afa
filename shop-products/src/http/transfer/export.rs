use std::sync::Arc;

use shop_core::http::{Body, HeaderValue, Request, Response, StatusCode, header, reply};
use shop_core::{Cursor, Limit, Page, PageRequest, Problem};

use super::super::dto::ExportRow;
use super::super::params::{ExportParams, Format};
use super::super::routes::Api;
use super::csv_columns::{NAMES, fields};
use super::import::NDJSON;
use crate::store::{ProductKey, ProductQuery, ProductSort, ProductSortField};
use crate::{Product, ProductError};

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");

/// Export all products, by SKU
///
/// In the form that an import takes, so that the same products give the same bytes again.
#[utoipa::path(
    get, path = "/v1/products/export", tag = "transfer", operation_id = "exportProducts",
    params(ExportParams),
    responses((status = 200, description = "One product a line", content(
        (String = "application/x-ndjson"), (String = "text/csv")
    )))
)]
pub(in super::super) async fn export(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    let params: ExportParams = request.query()?;
    let format = params.format.unwrap_or_else(|| accepted(&request));
    let mut pages = Pages { api, after: None, over: false };
    // The first page is read before the answer begins, so that an unavailable store is a 503.
    let first = pages.next().await?;
    let (rows, body) = Body::channel(2);
    tokio::spawn(async move {
        let mut page = first;
        let mut out = Vec::new();
        if format == Format::Csv {
            out.extend_from_slice(NAMES.join(",").as_bytes());
            out.push(b'\n');
        }
        while let Some(products) = page {
            if let Err(error) = append(&mut out, format, &products) {
                return rows.abort(error).await;
            }
            if rows.send(std::mem::take(&mut out)).await.is_err() {
                return;
            }
            page = match pages.next().await {
                Ok(page) => page,
                Err(error) => {
                    // Counted and logged by the table; the client sees a body that breaks off.
                    let problem = Problem::from(error);
                    return rows.abort(problem.title.into_owned()).await;
                }
            };
        }
        if rows.send(out).await.is_ok() {
            rows.finish().await;
        }
    });
    let content_type = match format {
        Format::Ndjson => NDJSON,
        Format::Csv => CSV,
    };
    Ok(reply::raw(StatusCode::OK, content_type, body))
}

/// CSV if the client asks for it; NDJSON, whatever else it asks for (RFC 9110, 12.5.1 allows that).
fn accepted(request: &Request) -> Format {
    let ranges = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = ranges
        .flat_map(|list| list.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .find(|range| {
            range.eq_ignore_ascii_case("text/csv") || range.eq_ignore_ascii_case("application/x-ndjson")
        });
    match first {
        Some(range) if range.eq_ignore_ascii_case("text/csv") => Format::Csv,
        _ => Format::Ndjson,
    }
}

/// All products, a page at a time.
struct Pages {
    api: Arc<Api>,
    after: Option<Cursor>,
    over: bool,
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Vec<Product>>, ProductError> {
        if self.over {
            return Ok(None);
        }
        let sort = ProductSort { field: ProductSortField::Sku, descending: false };
        let query = ProductQuery { sort, ..ProductQuery::default() };
        let after: Option<ProductKey> = self.after.take().and_then(|cursor| cursor.decode().ok());
        let limit = Limit::new(Limit::MAX).unwrap_or_default();
        let Page { data, next_cursor } = self.api.service.list(&query, &PageRequest { limit, after }).await?;
        self.over = next_cursor.is_none();
        self.after = next_cursor;
        Ok(Some(data))
    }
}

fn append(
    out: &mut Vec<u8>,
    format: Format,
    products: &[Product],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match format {
        Format::Ndjson => {
            for product in products {
                serde_json::to_writer(&mut *out, &ExportRow::from(product))?;
                out.push(b'\n');
            }
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().from_writer(out);
            for product in products {
                writer.write_record(fields(product))?;
            }
            writer.flush()?;
        }
    }
    Ok(())
}
