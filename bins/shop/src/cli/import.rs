use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::Body;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use super::api::Api;
use super::{Failure, Outcome, progress};
use crate::retail::{self, Sales};

/// Create or update products from a file, by SKU. Every row ends with a result.
#[derive(Debug, Args)]
pub struct Import {
    /// The file; `-` is stdin.
    file: PathBuf,
    /// The format; by default told from the name and the first line.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// For online-retail: how much of what was sold of a product is put in stock, 0.8 for 80 %.
    #[arg(long, default_value_t = 1.0, value_name = "SHARE")]
    stock_share: f64,
    /// Say what would happen, change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The products service.
    #[arg(long, default_value = "http://127.0.0.1:8082", env = "SHOP_PRODUCTS_URL")]
    url: String,
    /// One JSON object at the end instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Told from the name and the first line.
    Auto,
    /// A JSON object a line.
    Ndjson,
    /// Comma separated, with a header: what export writes.
    Csv,
    /// Sales lines: InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country.
    OnlineRetail,
}

/// What the rows came to.
#[derive(Debug, Default)]
struct Tally {
    by_status: BTreeMap<String, u64>,
    refused: Vec<Value>,
    /// Where the service stopped before the file's end, and why.
    ended_at: Option<Value>,
}

impl Import {
    /// Streams the file to the service and its results back; memory does not grow with it (but for online-retail, whose
    /// sales are summed by product first).
    ///
    /// # Errors
    /// If the file cannot be read, the service cannot be asked, or it breaks off.
    pub async fn run(self) -> Outcome {
        let (size, mut input) = open(&self.file).await?;
        let mut head = vec![0; 4096];
        let read = input.read(&mut head).await?;
        head.truncate(read);
        let format = self.format.or_told_from(&self.file, &head);
        let input = Cursor::new(head).chain(input);
        let mut notes = Vec::new();
        let bar;
        let (content_type, body) = if format == Format::OnlineRetail {
            let (rows, said) = seeds(input, self.stock_share).await?;
            notes = said;
            bar = progress::bytes(Some(rows.len() as u64), self.json);
            (
                "application/x-ndjson",
                Body::wrap_stream(counted(ReaderStream::new(Cursor::new(rows)), bar.clone())),
            )
        } else {
            bar = progress::bytes(size, self.json);
            let kind = if format == Format::Csv { "text/csv" } else { "application/x-ndjson" };
            (kind, Body::wrap_stream(counted(ReaderStream::with_capacity(input, 64 * 1024), bar.clone())))
        };
        let api = Api::new(&self.url)?;
        let request = api
            .post("/v1/products/import")
            .query(&[("dry_run", self.dry_run)])
            .header("Content-Type", content_type)
            .body(body);
        let answer = Api::send(request).await?;
        let tally = tally(answer.bytes_stream().map_err(std::io::Error::other)).await?;
        bar.finish_and_clear();
        self.report(&tally, &notes)
    }

    fn report(&self, tally: &Tally, notes: &[String]) -> Outcome {
        if self.json {
            println!("{}", json!({ "rows": tally.by_status, "refused": tally.refused, "notes": notes }));
        } else {
            notes.iter().for_each(|note| println!("{note}"));
            tally.refused.iter().for_each(|row| println!("refused: {row}"));
            let counts: Vec<_> =
                tally.by_status.iter().map(|(status, rows)| format!("{rows} {status}")).collect();
            let mode = if self.dry_run { " (dry run: nothing was changed)" } else { "" };
            println!("{}{mode}", if counts.is_empty() { "no rows".into() } else { counts.join(", ") });
        }
        if let Some(row) = &tally.ended_at {
            return Err(Failure(format!(
                "the import ended early, and rows without a result were not imported: {row}"
            )));
        }
        Ok(tally.refused.is_empty())
    }
}

impl Format {
    fn or_told_from(self, path: &Path, head: &[u8]) -> Self {
        if self != Self::Auto {
            return self;
        }
        let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii();
        if first == retail::HEADER.as_bytes() {
            Self::OnlineRetail
        } else if path.extension().is_some_and(|ending| ending == "csv") || !first.starts_with(b"{") {
            Self::Csv
        } else {
            Self::Ndjson
        }
    }
}

async fn open(path: &Path) -> Result<(Option<u64>, Box<dyn AsyncRead + Send + Unpin>), Failure> {
    if path == Path::new("-") {
        return Ok((None, Box::new(tokio::io::stdin())));
    }
    let named = |error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(named)?;
    let size = file.metadata().await.map_err(named)?.len();
    Ok((Some(size), Box::new(file)))
}

/// The stream, moving the bar.
fn counted<S>(stream: S, bar: indicatif::ProgressBar) -> impl Stream<Item = std::io::Result<Bytes>>
where
    S: Stream<Item = std::io::Result<Bytes>>,
{
    stream.inspect(move |chunk| bar.inc(chunk.as_ref().map_or(0, Bytes::len) as u64))
}

/// Sales as product rows, and what is to be said of them.
async fn seeds(mut input: impl AsyncRead + Unpin, share: f64) -> Result<(Vec<u8>, Vec<String>), Failure> {
    if !(0.0..=1_000.0).contains(&share) {
        return Err(Failure("--stock-share must be between 0 and 1000".into()));
    }
    let mut file = Vec::new();
    input.read_to_end(&mut file).await?;
    let sales = Sales::read(file.as_slice())?;
    let mut rows = Vec::new();
    for seed in sales.products.values() {
        let row = json!({
            "sku": seed.sku, "name": seed.name, "price": seed.price,
            "on_hand": retail::stock_for(seed.demand, share),
        });
        serde_json::to_writer(&mut rows, &row)?;
        rows.push(b'\n');
    }
    let mut notes: Vec<_> =
        sales.faults.iter().map(|fault| format!("line {}: {}", fault.line, fault.reason)).collect();
    notes.push(format!(
        "{} rows of {} invoices: {} products; {} rows without a description, {} with a price of zero",
        sales.rows.len() + sales.faults.len(),
        sales.invoice_count,
        sales.products.len(),
        sales.nameless,
        sales.free,
    ));
    Ok((rows, notes))
}

/// Reads the results, one a line. An answer that breaks off is an error of the stream.
async fn tally(results: impl Stream<Item = std::io::Result<Bytes>> + Unpin) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut lines = BufReader::new(StreamReader::new(results)).lines();
    while let Some(line) = lines.next_line().await? {
        let result: Value = serde_json::from_str(&line)?;
        match result["status"].as_str() {
            Some("incomplete") => tally.ended_at = Some(result),
            Some(status) => {
                *tally.by_status.entry(status.to_owned()).or_default() += 1;
                if status == "refused" {
                    tally.refused.push(result);
                }
            }
            None => return Err(Failure(format!("no result of a row: {line}"))),
        }
    }
    Ok(tally)
}
