//! Events on their way: lines, and how many of them are delivered.

use std::ops::Range;

/// The most events that are sent before an acknowledgement is waited for.
pub(super) const MAX_EVENTS: usize = 2048;
/// The most bytes of them, so that servers which limit a body to 1 MiB take it.
pub(super) const MAX_BYTES: usize = 512 << 10;

/// Lines in the order in which they were emitted.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// One after the other, each with its newline.
    pub(super) data: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    done: usize,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.data.shrink_to(crate::log::output::KEEP);
        self.ends.clear();
        self.done = 0;
    }

    /// Finds the lines of `data`. A line has no newline inside, as JSON has none.
    pub(super) fn split(&mut self) {
        let newlines = self.data.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        self.ends.extend(newlines.map(|(index, _)| index + 1));
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.data.extend_from_slice(line);
        self.ends.push(self.data.len());
    }

    /// Lines that are not done.
    pub(super) fn left(&self) -> usize {
        self.ends.len() - self.done
    }

    /// The next lines that are not done, at least one of those that are left, and `most` at most.
    pub(super) fn window(&self, most: usize) -> Window<'_> {
        let start = self.done.checked_sub(1).map_or(0, |last| self.ends[last]);
        let left = &self.ends[self.done..];
        let fit = left.iter().take(most).take_while(|end| **end - start <= MAX_BYTES).count().max(1);
        Window { data: &self.data, start, ends: &left[..fit.min(left.len())] }
    }

    /// So many lines more are done; how many bytes they were.
    pub(super) fn advance(&mut self, lines: usize) -> usize {
        let before = self.done.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.done = (self.done + lines).min(self.ends.len());
        self.done.checked_sub(1).map_or(0, |last| self.ends[last]) - before
    }
}

/// What is sent at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'b> {
    data: &'b [u8],
    start: usize,
    ends: &'b [usize],
}

impl<'b> Window<'b> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All lines, each with its newline.
    pub(super) fn bytes(&self) -> &'b [u8] {
        &self.data[self.start..self.ends.last().copied().unwrap_or(self.start)]
    }

    /// Each line, without its newline.
    pub(super) fn lines(&self) -> impl Iterator<Item = &'b [u8]> {
        let (data, ends) = (self.data, self.ends);
        let starts = std::iter::once(self.start).chain(ends.iter().copied());
        starts.zip(ends).map(move |(start, &end)| {
            let line: Range<usize> = start..end;
            data[line].trim_ascii_end()
        })
    }
}

/// What became of a window so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Its first lines that need no more care.
    pub(super) done: usize,
    /// Those of them that the receiver would never take.
    pub(super) dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_what_is_left_within_its_limits() {
        let mut batch = Batch { data: b"a\nbb\n".to_vec(), ..Batch::default() };
        batch.split();
        batch.push(&[b'c'; MAX_BYTES + 1]);
        let lines = |batch: &Batch, most| batch.window(most).lines().map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!((batch.left(), lines(&batch, 1), lines(&batch, 9)), (3, vec![1], vec![1, 2]));
        assert_eq!((batch.advance(1), batch.window(9).bytes()), (2, &b"bb\n"[..]));
        assert_eq!(
            (batch.advance(1), lines(&batch, 9)),
            (3, vec![MAX_BYTES + 1]),
            "one that is too long is sent"
        );
        batch.advance(1);
        assert_eq!((batch.left(), batch.window(9).len(), batch.window(9).bytes().len()), (0, 0, 0));
    }
}
