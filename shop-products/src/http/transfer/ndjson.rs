use shop_core::FieldError;
use shop_core::http::from_json_slice;

use super::super::dto::NewProductBody;
use super::super::problem::faults_of;
use super::bom::Bom;
use super::row::Row;

/// Rows of newline-delimited JSON, however the chunks are cut. Empty lines are no rows.
#[derive(Debug)]
pub(super) struct NdjsonRows {
    bom: Bom,
    partial: Vec<u8>,
    /// The line that is being read is longer than `max`.
    skipping: bool,
    max: usize,
    line: u64,
    row: u64,
}

impl NdjsonRows {
    pub(super) fn new(max: usize) -> Self {
        Self { bom: Bom::default(), partial: Vec::new(), skipping: false, max, line: 1, row: 0 }
    }

    pub(super) fn feed(&mut self, chunk: &[u8], rows: &mut Vec<Row>) {
        let (held, chunk) = self.bom.strip(chunk);
        self.partial.extend_from_slice(held);
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.append(&rest[..end]);
            self.end_line(rows);
            rest = &rest[end + 1..];
        }
        self.append(rest);
    }

    pub(super) fn finish(&mut self, rows: &mut Vec<Row>) {
        self.partial.extend_from_slice(self.bom.finish());
        self.end_line(rows);
    }

    /// The row that would come next.
    pub(super) fn next_row(&self) -> u64 {
        self.row + 1
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.skipping || self.partial.len() + bytes.len() > self.max {
            self.skipping = true;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, rows: &mut Vec<Row>) {
        let text = self.partial.trim_ascii();
        if self.skipping || !text.is_empty() {
            self.row += 1;
            let (sku, content) = match self.skipping {
                true => (None, Err(vec![too_long(self.max)])),
                false => match from_json_slice::<NewProductBody>(text) {
                    Ok(body) => (Some(body.sku.clone()), body.into_row()),
                    Err(problem) => (None, Err(faults_of(problem))),
                },
            };
            rows.push(Row { row: self.row, line: self.line, sku, content });
        }
        self.partial.clear();
        // One long line must not keep its memory for the whole import.
        self.partial.shrink_to(64 << 10);
        self.skipping = false;
        self.line += 1;
    }
}

pub(super) fn too_long(max: usize) -> FieldError {
    FieldError::new("", "row_too_long", format!("a row has at most {max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], size: usize, max: usize) -> Vec<Row> {
        let (mut reader, mut rows) = (NdjsonRows::new(max), Vec::new());
        for chunk in text.chunks(size) {
            reader.feed(chunk, &mut rows);
        }
        reader.finish(&mut rows);
        rows
    }

    #[test]
    fn rows_come_out_whole_wherever_the_chunks_are_cut() {
        let text = "\u{feff}{\"sku\":\"A\",\"name\":\"é\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"}}\r\n\n \
            {\"sku\":\"B\",\"name\":\"b\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"},\"on_hand\":3}";
        for size in 1..text.len() {
            let rows = read(text.as_bytes(), size, 1_000);
            let seen: Vec<_> = rows.iter().map(|row| (row.row, row.line, row.sku.as_deref())).collect();
            assert_eq!(seen, [(1, 1, Some("A")), (2, 3, Some("B"))], "by {size}");
            assert_eq!(rows[0].content.as_ref().unwrap().details.name, "é");
            assert_eq!(rows[0].content.as_ref().unwrap().on_hand, None);
            assert_eq!(rows[1].content.as_ref().unwrap().on_hand, Some(3));
        }
    }

    #[test]
    fn a_long_row_takes_no_more_memory_than_the_longest() {
        let (mut reader, mut rows) = (NdjsonRows::new(1 << 20), Vec::new());
        for _ in 0..100 {
            reader.feed(&[b'x'; 64 << 10], &mut rows);
            assert!(reader.partial.capacity() <= 2 << 20 && rows.is_empty());
        }
        reader.feed(b"\n", &mut rows);
        assert_eq!(rows[0].content.as_ref().unwrap_err()[0].code, "row_too_long");
        assert!(reader.partial.capacity() <= 64 << 10);
    }

    #[test]
    fn a_bad_row_does_not_stop_the_others() {
        let long = format!("{{\"sku\":\"{}\"}}", "x".repeat(300));
        let good = "{\"sku\":\"A\",\"name\":\"a\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"}}";
        let text = format!("{{\n{long}\n{good}\n{{\"sku\":1,\"x\":2}}\n{{\"name\":\"\\u0000\"");
        for size in [1, 7, 4_096] {
            let rows = read(text.as_bytes(), size, 200);
            let codes: Vec<Vec<&str>> = rows
                .iter()
                .map(|row| {
                    row.content.as_ref().err().into_iter().flatten().map(|f| f.code.as_ref()).collect()
                })
                .collect();
            assert_eq!(codes[0], ["malformed_json"]);
            assert_eq!(codes[1], ["row_too_long"]);
            assert!(codes[2].is_empty());
            assert!(codes[3].contains(&"unknown_field") && codes[3].contains(&"invalid_type"), "{codes:?}");
            assert_eq!(codes[4], ["malformed_json"]);
        }
    }
}
