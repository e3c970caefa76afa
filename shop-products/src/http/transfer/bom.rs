const BOM: &[u8] = b"\xef\xbb\xbf";

/// Takes a UTF-8 byte order mark off the beginning of a stream, wherever the chunks are cut.
#[derive(Debug, Default)]
pub(super) struct Bom {
    matched: usize,
    over: bool,
}

impl Bom {
    /// What of a chunk is content: bytes held back from before, and the rest of the chunk.
    pub(super) fn strip<'a>(&mut self, chunk: &'a [u8]) -> (&'static [u8], &'a [u8]) {
        if self.over {
            return (&[], chunk);
        }
        for (n, byte) in chunk.iter().enumerate() {
            if self.matched == BOM.len() {
                self.over = true;
                return (&[], &chunk[n..]);
            }
            if *byte != BOM[self.matched] {
                self.over = true;
                return (&BOM[..self.matched.saturating_sub(n)], &chunk[n.saturating_sub(self.matched)..]);
            }
            self.matched += 1;
        }
        (&[], &[])
    }

    /// At the end of the stream: bytes that were held back, and are none of a mark.
    pub(super) fn finish(&mut self) -> &'static [u8] {
        let held = if self.over || self.matched == BOM.len() { 0 } else { self.matched };
        self.over = true;
        &BOM[..held]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_and_nothing_else() {
        for (input, expected) in [
            (&b"\xef\xbb\xbfab"[..], &b"ab"[..]),
            (b"ab", b"ab"),
            (b"\xef\xbbab", b"\xef\xbbab"),
            (b"\xef\xbb", b"\xef\xbb"),
            (b"\xef\xbb\xbf", b""),
            (b"\xef\xbb\xbf\xef\xbb\xbf", b"\xef\xbb\xbf"),
            (b"", b""),
        ] {
            for size in 1..=6 {
                let mut bom = Bom::default();
                let mut out = Vec::new();
                for chunk in input.chunks(size) {
                    let (held, rest) = bom.strip(chunk);
                    out.extend_from_slice(held);
                    out.extend_from_slice(rest);
                }
                out.extend_from_slice(bom.finish());
                assert_eq!(out, expected, "{input:?} by {size}");
            }
        }
    }
}
