use csv_core::{ReadRecordResult, Reader};
use shop_core::{FieldError, Problem};

use super::bom::Bom;
use super::csv_columns::{Columns, unusable_header};
use super::ndjson::too_long;
use super::row::Row;

/// Rows of CSV (RFC 4180: quotes, line breaks in quotes, CRLF or LF), however the chunks are cut. The first row names the
/// columns. Empty lines are no rows.
#[derive(Debug)]
pub(super) struct CsvRows {
    bom: Bom,
    reader: Reader,
    /// The fields of the record that is being read, one behind the other.
    fields: Vec<u8>,
    filled: usize,
    /// Where each of them ends.
    ends: Vec<usize>,
    ended: usize,
    columns: Option<Columns>,
    /// Something of the record was read.
    begun: bool,
    /// The record is longer than `max`.
    skipping: bool,
    /// The file ended in its quotes.
    unclosed: bool,
    max: usize,
    line: u64,
    /// Where the record began.
    at: u64,
    row: u64,
}

impl CsvRows {
    pub(super) fn new(max: usize) -> Self {
        Self {
            bom: Bom::default(),
            reader: Reader::new(),
            fields: vec![0; 4 << 10],
            filled: 0,
            ends: vec![0; 32],
            ended: 0,
            columns: None,
            begun: false,
            skipping: false,
            unclosed: false,
            max,
            line: 1,
            at: 1,
            row: 0,
        }
    }

    /// Whether the header was read.
    pub(super) fn has_header(&self) -> bool {
        self.columns.is_some()
    }

    /// The row that would come next.
    pub(super) fn next_row(&self) -> u64 {
        self.row + 1
    }

    /// # Errors
    /// 400 when the header is not valid.
    pub(super) fn feed(&mut self, chunk: &[u8], rows: &mut Vec<Row>) -> Result<(), Problem> {
        let (held, rest) = self.bom.strip(chunk);
        self.read(held, rows)?;
        self.read(rest, rows)
    }

    /// # Errors
    /// 400 when the header is not valid.
    pub(super) fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), Problem> {
        let held = self.bom.finish();
        self.read(held, rows)?;
        // A line break ends the last record, unless it stands in quotes: those never closed.
        let mut end: &[u8] = b"\n";
        while self.begun && !end.is_empty() {
            let read = self.step(end, rows)?;
            end = &end[read..];
        }
        self.unclosed = self.begun;
        // No input says that there is no more.
        while self.begun {
            self.step(&[], rows)?;
        }
        Ok(())
    }

    fn read(&mut self, mut input: &[u8], rows: &mut Vec<Row>) -> Result<(), Problem> {
        loop {
            if !self.begun {
                let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.count_lines(&input[..blank]);
                input = &input[blank..];
            }
            if input.is_empty() {
                return Ok(());
            }
            let read = self.step(input, rows)?;
            input = &input[read..];
        }
    }

    fn step(&mut self, input: &[u8], rows: &mut Vec<Row>) -> Result<usize, Problem> {
        if !self.begun {
            self.begun = true;
            self.at = self.line;
        }
        let (result, read, written, ended) =
            self.reader.read_record(input, &mut self.fields[self.filled..], &mut self.ends[self.ended..]);
        self.count_lines(&input[..read]);
        self.filled += written;
        self.ended += ended;
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull if self.fields.len() < self.max => {
                self.fields.resize((self.fields.len() * 2).min(self.max), 0);
            }
            ReadRecordResult::OutputFull => {
                self.skipping = true;
                self.filled = 0;
            }
            // More fields than any row has; each takes a byte of the input, so the limit holds for them too.
            ReadRecordResult::OutputEndsFull if self.ends.len() < 1_024 => {
                self.ends.resize(self.ends.len() * 2, 0)
            }
            ReadRecordResult::OutputEndsFull => {
                self.skipping = true;
                self.ended = 0;
            }
            ReadRecordResult::Record => self.record(rows)?,
            ReadRecordResult::End => self.begun = false,
        }
        if self.skipping {
            (self.filled, self.ended) = (0, 0);
        }
        Ok(read)
    }

    fn count_lines(&mut self, bytes: &[u8]) {
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    fn record(&mut self, rows: &mut Vec<Row>) -> Result<(), Problem> {
        let skipped = std::mem::take(&mut self.skipping);
        let unclosed = std::mem::take(&mut self.unclosed);
        self.begun = false;
        let (count, at) = (self.ended, self.at);
        (self.filled, self.ended) = (0, 0);
        let ends = &self.ends[..if skipped { 0 } else { count }];
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let fields: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &self.fields[start..*end]).collect();
        let Some(columns) = &self.columns else {
            if unclosed {
                return Err(unusable_header(vec![unclosed_quote()]));
            }
            self.columns = Some(Columns::read(fields.into_iter())?);
            return Ok(());
        };
        self.row += 1;
        let mut sku = None;
        let content = if unclosed {
            Err(vec![unclosed_quote()])
        } else if skipped {
            Err(vec![too_long(self.max)])
        } else if fields.len() != columns.width {
            let detail = format!("has {} fields, the header {}", fields.len(), columns.width);
            Err(vec![FieldError::new("", "wrong_field_count", detail)])
        } else {
            match fields.into_iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>() {
                Err(_) => Err(vec![FieldError::new("", "invalid_encoding", "must be UTF-8")]),
                Ok(texts) => {
                    sku = columns.sku(&texts);
                    columns.content(&texts)
                }
            }
        };
        rows.push(Row { row: self.row, line: at, sku, content });
        // One long row must not keep its memory for the whole import.
        if self.fields.len() > 64 << 10 {
            self.fields = vec![0; 4 << 10];
        }
        Ok(())
    }
}

fn unclosed_quote() -> FieldError {
    FieldError::new("", "unclosed_quote", "has a quote that is not closed before the end of the file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], size: usize, max: usize) -> Result<Vec<Row>, Problem> {
        let (mut reader, mut rows) = (CsvRows::new(max), Vec::new());
        for chunk in text.chunks(size) {
            reader.feed(chunk, &mut rows)?;
        }
        reader.finish(&mut rows)?;
        Ok(rows)
    }

    #[test]
    fn rows_come_out_whole_wherever_the_chunks_are_cut() {
        let text = "\u{feff}\"sku\",name,price,currency,description\r\nA,é,1,EUR,\"two\r\nlines, \"\"quoted\"\"\"\r\n\r\nB,b,2.50,EUR,";
        for size in 1..text.len() {
            let rows = read(text.as_bytes(), size, 1_000).unwrap();
            let seen: Vec<_> = rows.iter().map(|row| (row.row, row.line, row.sku.as_deref())).collect();
            assert_eq!(seen, [(1, 2, Some("A")), (2, 5, Some("B"))], "by {size}");
            let first = &rows[0].content.as_ref().unwrap().details;
            assert_eq!((&*first.name, &*first.description), ("é", "two\r\nlines, \"quoted\""));
            assert_eq!(rows[1].content.as_ref().unwrap().details.price.to_string(), "2.50 EUR");
        }
    }

    #[test]
    fn a_bad_row_does_not_stop_the_others() {
        let long = "x".repeat(9_000);
        let many = ",".repeat(5_000);
        let text =
            format!("sku,name,price,currency\nA,{long},1,EUR\nB,b,1\n{many}\nC,\u{e9},1,EUR\nD,d,1,EUR");
        let mut bytes = text.into_bytes();
        // A Latin-1 é, as old spreadsheets write it.
        let at = bytes.windows(2).position(|pair| pair == "\u{e9}".as_bytes()).unwrap();
        bytes.splice(at..at + 2, [0xe9]);
        for size in [1, 100, 10_000] {
            let rows = read(&bytes, size, 8_000).unwrap();
            let codes: Vec<_> = rows
                .iter()
                .map(|row| row.content.as_ref().err().map_or("", |faults| faults[0].code.as_ref()))
                .collect();
            assert_eq!(codes, ["row_too_long", "wrong_field_count", "row_too_long", "invalid_encoding", ""]);
        }
    }

    #[test]
    fn a_long_row_takes_no_more_memory_than_the_longest() {
        let (mut reader, mut rows) = (CsvRows::new(1 << 20), Vec::new());
        reader.feed(b"sku,name,price,currency\nA,\"", &mut rows).unwrap();
        for piece in [[b'x'; 64 << 10], [b','; 64 << 10], [b'\n'; 64 << 10]].iter().cycle().take(99) {
            reader.feed(piece, &mut rows).unwrap();
            assert!(reader.fields.len() <= 1 << 20 && reader.ends.len() <= 2_048 && rows.is_empty());
        }
        reader.feed(b"\"\n", &mut rows).unwrap();
        assert_eq!(rows[0].content.as_ref().unwrap_err()[0].code, "row_too_long");
        assert!(reader.fields.len() <= 64 << 10);
    }

    #[test]
    fn a_quote_that_never_closes_is_a_fault() {
        let long = "x".repeat(900);
        let tails =
            ["B,\"b,1,EUR\nC,c,1,EUR\n", "B,b,1,\"EUR", "\"", "B,\"b\"\",1,EUR", &format!("\"{long}")];
        for tail in tails {
            let text = format!("sku,name,price,currency\nA,a,1,EUR\n{tail}");
            for size in [1, 3, 1_000] {
                let rows = read(text.as_bytes(), size, 500).unwrap();
                assert_eq!(rows.len(), 2, "{tail:?}");
                assert!(rows[0].content.is_ok());
                let faults = rows[1].content.as_ref().unwrap_err();
                assert_eq!(
                    (faults.len(), &*faults[0].code, rows[1].line),
                    (1, "unclosed_quote", 3),
                    "{tail:?}"
                );
            }
        }
        for end in ["A,a,1,\"EUR\"", "\"A\",a,1,\"EUR\"\r\n", "A,a\"b,1,EUR", "A,a,1,EUR\r"] {
            let rows = read(format!("sku,name,price,currency\n{end}").as_bytes(), 2, 500).unwrap();
            assert!(rows.len() == 1 && rows[0].content.is_ok(), "{end:?}");
        }
        let refused = read(b"\"sku,name,price,currency\nA,a,1,EUR\n", 5, 500).unwrap_err();
        assert_eq!((&*refused.code, &*refused.errors[0].code), ("invalid_csv_header", "unclosed_quote"));
    }

    #[test]
    fn nothing_and_a_header_alone_are_no_rows() {
        for text in ["", "\n\n", "sku,name,price,currency", "sku,name,price,currency\r\n", "\u{feff}"] {
            assert!(read(text.as_bytes(), 3, 100).unwrap().is_empty(), "{text:?}");
        }
        assert_eq!(read(b"name", 3, 100).unwrap_err().code, "invalid_csv_header");
    }
}
