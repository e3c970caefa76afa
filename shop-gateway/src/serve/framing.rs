//! Where messages begin and end, read strictly and before hyper reads it.
//!
//! hyper forgives a `Content-Length` beside a `Transfer-Encoding`, one that is repeated, chunk sizes of any number of
//! digits, and line feeds alone in trailers; of the first two it leaves nothing to see. RFC 9112 lets it, but each is a
//! message that two parties may end at two places (request smuggling). So each byte passes here once, on its way to hyper:
//! of a head only the lines that frame are looked at, and of a body only its chunk lines. What hyper refuses by itself is
//! left to it; what it takes is divided here as it is there.

use memchr::memchr_iter;

/// No line that frames is longer, in a request that means well.
const LONGEST_LINE: usize = 256;
/// Of 64 bits.
const MOST_DIGITS: u8 = 16;

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// What may pass of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    All,
    /// So many of them; then comes a head that must not be answered but by a refusal. Nothing more is to be read.
    Head(usize, &'static str),
    /// So many of them; then the body is broken. Nothing more is to be read.
    Body(usize),
}

/// A client's side of a connection, divided into heads and bodies.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a head's line that was not whole when it came. Empty but for heads that come in pieces.
    carried: Vec<u8>,
    /// Of the head that is being read.
    length: Option<u64>,
    chunked: bool,
    heads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request line: empty lines may come first.
    Start,
    /// In a head, after the request line.
    Head,
    Length(u64),
    Size {
        digits: u8,
        size: u64,
    },
    Extension(u64),
    SizeLf(u64),
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    /// At the beginning of a trailer line, or of the empty line that ends them.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { state: State::Start, carried: Vec::new(), length: None, chunked: false, heads: 0 }
    }

    /// How many heads have passed whole.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// Looks at the next bytes. After any other verdict than `All` it must not be asked again.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Verdict {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Start | State::Head => match self.head(&bytes[at..]) {
                    Ok(taken) => at += taken,
                    Err(why) => return Verdict::Head(at, why),
                },
                State::Length(left) => at += self.skip(left, bytes.len() - at, State::Length, State::Start),
                State::Chunk(left) => at += self.skip(left, bytes.len() - at, State::Chunk, State::ChunkCr),
                _ => {
                    match self.chunk_byte(bytes[at]) {
                        Some(next) => self.state = next,
                        None => return Verdict::Body(at),
                    }
                    at += 1;
                }
            }
        }
        Verdict::All
    }

    /// Looks at what there is of a head, and says how much that is.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut at = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[at..end];
            at = end + 1;
            if self.line(line)? {
                return Ok(at);
            }
        }
        if at < bytes.len() {
            self.carry(&bytes[at..])?;
        }
        Ok(bytes.len())
    }

    fn skip(&mut self, left: u64, there: usize, same: fn(u64) -> State, next: State) -> usize {
        let taken = left.min(there as u64);
        self.state = if taken == left { next } else { same(left - taken) };
        taken as usize
    }

    /// Keeps the beginning of a line, unless it can be none that frames.
    fn carry(&mut self, part: &[u8]) -> Result<(), &'static str> {
        if self.carried.len() <= CODING.len() {
            self.carried.extend_from_slice(&part[..part.len().min(LONGEST_LINE)]);
        } else if name(&self.carried).is_some() {
            self.carried.extend_from_slice(part);
        }
        match name(&self.carried) {
            // At the limit it may have been cut.
            Some(_) if self.carried.len() >= LONGEST_LINE => Err("a framing header is too long"),
            _ => Ok(()),
        }
    }

    /// A line of a head, without its line feed. True if the head ends with it.
    fn line(&mut self, rest: &[u8]) -> Result<bool, &'static str> {
        if self.carried.is_empty() {
            return self.whole_line(rest.strip_suffix(b"\r").unwrap_or(rest));
        }
        let mut line = std::mem::take(&mut self.carried);
        line.extend_from_slice(rest);
        self.whole_line(line.strip_suffix(b"\r").unwrap_or(&line))
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<bool, &'static str> {
        if line.is_empty() {
            let ends = self.state == State::Head;
            if ends {
                self.heads = self.heads.wrapping_add(1);
                self.state = match self.length.take() {
                    _ if std::mem::take(&mut self.chunked) => State::Size { digits: 0, size: 0 },
                    None | Some(0) => State::Start,
                    Some(length) => State::Length(length),
                };
            }
            return Ok(ends);
        }
        if self.state == State::Start {
            self.state = State::Head;
            return Ok(false);
        }
        match name(line) {
            None => return Ok(false),
            Some(Frames::Length) => {
                if self.length.is_some() {
                    return Err("the Content-Length header is there more than once");
                }
                self.length = Some(length(line[LENGTH.len()..].trim_ascii())?);
            }
            Some(Frames::Coding) => {
                if self.chunked {
                    return Err("the Transfer-Encoding header is there more than once");
                }
                if !line[CODING.len()..].trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err("a transfer coding other than chunked");
                }
                self.chunked = true;
            }
        }
        if self.chunked && self.length.is_some() {
            return Err("both Content-Length and Transfer-Encoding");
        }
        Ok(false)
    }

    /// One byte between chunks. None: it must not be there.
    fn chunk_byte(&self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < MOST_DIGITS =>
            {
                let digit = char::from(byte).to_digit(16)?;
                Some(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (State::Size { digits: 1.., size }, b';' | b' ' | b'\t') => Some(State::Extension(size)),
            (State::Size { digits: 1.., size }, b'\r') => Some(State::SizeLf(size)),
            (State::Extension(size), b'\r') => Some(State::SizeLf(size)),
            (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => Some(State::Extension(size)),
            (State::SizeLf(0), b'\n') => Some(State::TrailerStart),
            (State::SizeLf(size), b'\n') => Some(State::Chunk(size)),
            (State::ChunkCr, b'\r') => Some(State::ChunkLf),
            (State::ChunkLf, b'\n') => Some(State::Size { digits: 0, size: 0 }),
            (State::TrailerStart, b'\r') => Some(State::EndLf),
            (State::Trailer, b'\r') => Some(State::TrailerLf),
            (State::TrailerStart | State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => Some(State::Trailer),
            (State::TrailerLf, b'\n') => Some(State::TrailerStart),
            (State::EndLf, b'\n') => Some(State::Start),
            _ => None,
        }
    }
}

enum Frames {
    Length,
    Coding,
}

fn name(line: &[u8]) -> Option<Frames> {
    // The colon's place is asked first: hardly a line passes even that.
    if line.get(LENGTH.len() - 1) == Some(&b':') && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH) {
        return Some(Frames::Length);
    }
    if line.get(CODING.len() - 1) == Some(&b':') && line[..CODING.len()].eq_ignore_ascii_case(CODING) {
        return Some(Frames::Coding);
    }
    None
}

fn length(digits: &[u8]) -> Result<u64, &'static str> {
    const WRONG: &str = "the Content-Length header is not a length";
    if digits.is_empty() {
        return Err(WRONG);
    }
    digits
        .iter()
        .try_fold(0u64, |n, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            n.checked_mul(10)?.checked_add(u64::from(digit))
        })
        // Two above this hyper's lengths mean something else; half of it nobody sends.
        .filter(|n| i64::try_from(*n).is_ok())
        .ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> (Verdict, State, u32) {
        let mut framing = Framing::new();
        let verdict = framing.pass(bytes);
        (verdict, framing.state, framing.heads)
    }

    /// The verdict when the bytes come one by one: all that passed before counts.
    fn byte_by_byte(bytes: &[u8]) -> (Verdict, State, u32) {
        let mut framing = Framing::new();
        for (at, byte) in bytes.iter().enumerate() {
            match framing.pass(std::slice::from_ref(byte)) {
                Verdict::All => {}
                Verdict::Head(_, why) => return (Verdict::Head(at, why), framing.state, framing.heads),
                Verdict::Body(_) => return (Verdict::Body(at), framing.state, framing.heads),
            }
        }
        (Verdict::All, framing.state, framing.heads)
    }

    #[test]
    fn requests_are_divided() {
        for (bytes, state, heads) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", State::Start, 1),
            ("\r\n\nGET / HTTP/1.1\nhost: a\n\nGET", State::Start, 1),
            ("GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", State::Start, 1),
            ("POST / HTTP/1.1\r\nCONTENT-length: 12\r\n\r\nGET / HTTP", State::Length(2), 1),
            ("POST / HTTP/1.1\r\ncontent-length:\t3 \r\n\r\nabcGET / HTTP/1.1\r\n\r\n", State::Start, 2),
            ("POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n", State::Size { digits: 0, size: 0 }, 1),
            ("P / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n", State::Start, 1),
            ("P / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nA\r\nabc", State::Chunk(7), 1),
            ("P / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n", State::TrailerStart, 1),
        ] {
            assert_eq!(whole(bytes.as_bytes()), (Verdict::All, state, heads), "{bytes:?}");
            assert_eq!(byte_by_byte(bytes.as_bytes()), (Verdict::All, state, heads), "{bytes:?}");
        }
    }

    #[test]
    fn heads_that_two_may_end_at_two_places() {
        for lines in [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "transfer-encoding: chunked\r\nx: y\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: \x0bchunked\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length:\r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length: 18446744073709551615\r\n",
        ] {
            let first = "GET / HTTP/1.1\r\n\r\n";
            let bytes = format!("{first}POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\nx");
            let (verdict, _, heads) = whole(bytes.as_bytes());
            assert!(matches!(verdict, Verdict::Head(at, _) if at == first.len()), "{lines:?}: {verdict:?}");
            assert_eq!(heads, 1);
            assert!(matches!(byte_by_byte(bytes.as_bytes()).0, Verdict::Head(..)), "{lines:?}");
        }
        let endless = format!("POST / HTTP/1.1\r\ncontent-length: {}", " ".repeat(400));
        assert!(matches!(byte_by_byte(endless.as_bytes()).0, Verdict::Head(..)));
        // In two pieces, the first cut off amid the number.
        for blanks in 0..300 {
            let mut framing = Framing::new();
            let line = format!("POST / HTTP/1.1\r\ncontent-length:{}123456789", " ".repeat(blanks));
            if framing.pass(line.as_bytes()) == Verdict::All {
                assert_eq!(framing.pass(b"\r\n\r\n"), Verdict::All);
                assert_eq!(framing.state, State::Length(123_456_789), "{blanks}");
            }
        }
        let long = format!("POST / HTTP/1.1\r\nx-content-length: {}", "x".repeat(4000));
        assert_eq!(byte_by_byte(long.as_bytes()).0, Verdict::All);
    }

    #[test]
    fn chunks_that_two_may_end_at_two_places() {
        let head = "P / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for (body, bad_at) in [
            ("x", 0),
            (";a\r\n", 0),
            ("\r\n", 0),
            ("-1\r\n", 0),
            ("0x1\r\n", 1),
            ("1\n", 1),
            ("1;a\n", 3),
            ("1\rx", 2),
            ("00000000000000001\r\n", 16),
            ("1\r\nab", 4),
            ("1\r\na\n", 4),
            ("1\r\na\rx", 5),
            ("0\r\nx: y\n\r\n", 7),
            ("0\r\n\n", 3),
            ("0\r\nx: y\r\r", 8),
            ("0\r\n\rx", 4),
        ] {
            let bytes = format!("{head}{body}");
            let bad = Verdict::Body(head.len() + bad_at);
            assert_eq!(whole(bytes.as_bytes()).0, bad, "{body:?}");
            assert_eq!(byte_by_byte(bytes.as_bytes()).0, bad, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_makes_no_difference(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\n", "Content-Length: 3\r\n", "content-length:7\n",
                "Transfer-Encoding: chunked\r\n", "transfer-encoding", ":", "host: a\r\n", "\r\n", "\n", "\r", " ",
                "3\r\nabc\r\n", "0\r\n", "0;x\r\n", "abcdefg", "x: y\r\n", "ffffffff", "12", "\0", "é",
            ]), 0..24),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = pieces.concat().into_bytes();
            let cut = cut.index(bytes.len() + 1);
            let mut framing = Framing::new();
            let first = framing.pass(&bytes[..cut]);
            let (one, _, _) = whole(&bytes);
            let kind = |v: &Verdict| std::mem::discriminant(v);
            if first == Verdict::All {
                let second = framing.pass(&bytes[cut..]);
                prop_assert_eq!(kind(&second), kind(&one));
                if let (Verdict::Body(a), Verdict::Body(b)) = (second, one) {
                    prop_assert_eq!(a + cut, b);
                }
            } else {
                prop_assert_eq!(kind(&first), kind(&one));
            }
            prop_assert_eq!(kind(&byte_by_byte(&bytes).0), kind(&one));
        }
    }
}
