use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shop_core::http::{Body, BodySender, HeaderValue, Request, RequestBody, Response, StatusCode, reply};
use shop_core::{FieldError, Problem};

use super::super::params::{Format, ImportParams};
use super::super::problem::faults_of;
use super::super::routes::Api;
use super::csv_rows::CsvRows;
use super::dry_run::DryRun;
use super::ndjson::NdjsonRows;
use super::row::{self, Row, RowResult};

/// A chunk is read in pieces of so many bytes, so that the rows of one piece are few.
const PIECE: usize = 64 << 10;
/// A batch is read from no more than about so many bytes, however few rows that are, once there is one.
const BATCH_BYTES: usize = 2 << 20;
/// Rows that came are written when no more come for so long: a sender that sends a row now and then gets its answers.
const LULL: Duration = Duration::from_millis(50);

pub(super) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Import products: each row makes or replaces the product of its SKU
///
/// One result a row, as the rows are read. A refused row does not stop the others. If the body breaks off, the rows that were
/// answered stand, and a last line says so.
#[utoipa::path(
    post, path = "/v1/products/import", tag = "transfer", operation_id = "importProducts",
    params(ImportParams),
    request_body(content((String = "application/x-ndjson"), (String = "text/csv"))),
    responses((status = 200, description = "One `ImportResult` a line", body = RowResult<'static>, content_type = "application/x-ndjson"))
)]
pub(in super::super) async fn import(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    let params: ImportParams = request.query()?;
    if request.idempotency_key()?.is_some() {
        return Err(Problem::new(400, "idempotency_key_not_taken", "An import takes no Idempotency-Key")
            .detail("it writes by SKU: the same file again changes nothing"));
    }
    let format = match request.content_type()? {
        Some("application/x-ndjson") => Format::Ndjson,
        Some("text/csv") => Format::Csv,
        _ => {
            return Err(Problem::new(415, "unsupported_media_type", "This type of content is not taken")
                .detail("the content type must be application/x-ndjson or text/csv"));
        }
    };
    let mut source = Source {
        body: request.body_stream(),
        parser: match format {
            Format::Ndjson => Parser::Ndjson(NdjsonRows::new(api.config.max_import_row)),
            Format::Csv => Parser::Csv(Box::new(CsvRows::new(api.config.max_import_row))),
        },
        chunk: Bytes::new(),
        rows: Vec::new(),
        bytes: 0,
        end: None,
    };
    // A header that cannot be used refuses the whole, before anything is answered.
    while source.needs_header() {
        source.more().await;
    }
    if source.rows.is_empty()
        && let Some(Err(problem)) = source.end
    {
        return Err(problem);
    }
    let (answers, body) = Body::channel(2);
    let trial = params.dry_run.then(DryRun::default);
    tokio::spawn(run(api, source, answers, trial));
    Ok(reply::raw(StatusCode::OK, NDJSON, body))
}

/// Answers batch after batch; what waits for the client to read keeps the next batch from being read.
async fn run(api: Arc<Api>, mut source: Source, answers: BodySender, mut trial: Option<DryRun>) {
    let size = api.config.import_batch.max(1);
    let mut end = loop {
        source.fill(size).await;
        let batch = source.take(size);
        let Some(first) = batch.first().map(|row| row.row) else {
            break source.end.take().and_then(Result::err).map(|problem| (source.parser.next_row(), problem));
        };
        let mut out = Vec::new();
        let written = write(&api, batch, trial.as_mut(), &mut out).await;
        if answers.send(out).await.is_err() {
            // Nobody reads any more: what was written stands, the rest is not.
            return;
        }
        if let Err(problem) = written {
            break Some((first, problem));
        }
    };
    if let Some((row, problem)) = end.take() {
        let mut out = Vec::new();
        row::incomplete(&mut out, row, &faults_of(problem));
        if answers.send(out).await.is_err() {
            return;
        }
    }
    answers.finish().await;
}

/// Writes a batch and appends its answers.
///
/// # Errors
/// When the service cannot write; then nothing of the batch is written, and nothing is appended.
async fn write(
    api: &Api,
    mut batch: Vec<Row>,
    mut trial: Option<&mut DryRun>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let mut contents = Vec::with_capacity(batch.len());
    let faults: Vec<Option<Vec<FieldError>>> = batch
        .iter_mut()
        .map(|row| match std::mem::replace(&mut row.content, Err(Vec::new())) {
            Ok(content) => {
                contents.push(content);
                None
            }
            Err(faults) => Some(faults),
        })
        .collect();
    let dry_run = trial.is_some();
    let mut claims = trial.as_mut().map(|trial| trial.claims(&contents)).unwrap_or_default().into_iter();
    let mut outcomes = match contents.is_empty() {
        true => Vec::new(),
        false => api.service.import_batch(contents, dry_run).await?,
    }
    .into_iter();
    for (row, faults) in batch.iter().zip(faults) {
        match faults {
            Some(faults) => row::refused(out, row, &faults),
            None => match outcomes.next() {
                Some(outcome) => {
                    let (outcome, exists) = match (trial.as_mut(), claims.next()) {
                        (Some(trial), Some(claim)) => trial.judge(claim, outcome),
                        _ => (outcome, true),
                    };
                    row::decided(out, row, outcome, exists);
                }
                None => return Err(Problem::internal()),
            },
        }
    }
    Ok(())
}

#[derive(Debug)]
enum Parser {
    Ndjson(NdjsonRows),
    Csv(Box<CsvRows>),
}

impl Parser {
    fn feed(&mut self, chunk: &[u8], rows: &mut Vec<Row>) -> Result<(), Problem> {
        match self {
            Self::Ndjson(parser) => {
                parser.feed(chunk, rows);
                Ok(())
            }
            Self::Csv(parser) => parser.feed(chunk, rows),
        }
    }

    fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), Problem> {
        match self {
            Self::Ndjson(parser) => {
                parser.finish(rows);
                Ok(())
            }
            Self::Csv(parser) => parser.finish(rows),
        }
    }

    fn next_row(&self) -> u64 {
        match self {
            Self::Ndjson(parser) => parser.next_row(),
            Self::Csv(parser) => parser.next_row(),
        }
    }
}

/// A body as rows.
#[derive(Debug)]
struct Source {
    body: RequestBody,
    parser: Parser,
    chunk: Bytes,
    rows: Vec<Row>,
    /// How much was read since the rows were last taken.
    bytes: usize,
    end: Option<Result<(), Problem>>,
}

impl Source {
    fn needs_header(&self) -> bool {
        matches!(&self.parser, Parser::Csv(parser) if !parser.has_header()) && self.end.is_none()
    }

    /// Reads until there is a batch, the body is at its end, or nothing came for a while. No row is there only at the end.
    async fn fill(&mut self, size: usize) {
        while self.rows.len() < size && self.end.is_none() {
            if !self.rows.is_empty() && self.bytes >= BATCH_BYTES {
                return;
            }
            if self.rows.is_empty() {
                self.more().await;
            } else if tokio::time::timeout(LULL, self.more()).await.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, size: usize) -> Vec<Row> {
        self.bytes = 0;
        self.rows.drain(..self.rows.len().min(size)).collect()
    }

    /// Reads one piece more. Dropped before it is done, it has read nothing.
    async fn more(&mut self) {
        if self.chunk.is_empty() {
            match self.body.data().await {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(problem)) => {
                    self.end = Some(Err(problem));
                    return;
                }
                None => {
                    self.end = Some(self.parser.finish(&mut self.rows));
                    return;
                }
            }
        }
        let piece = self.chunk.split_to(self.chunk.len().min(PIECE));
        self.bytes += piece.len();
        if let Err(problem) = self.parser.feed(&piece, &mut self.rows) {
            self.end = Some(Err(problem));
        }
    }
}
