//! Writing several small pieces at once.

use std::cell::RefCell;
use std::io::IoSlice;

/// What fits into one copy. Above it the kernel had better take the pieces where they are.
const SMALL: usize = 2048;

thread_local! {
    // Not on the stack, where it would be zeroed each time.
    static COPY: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(SMALL));
}

/// A head and its small body, or a head alone: as one piece, for `send`, which costs the kernel less than `writev`.
pub(super) fn with_one_piece<R>(bufs: &[IoSlice<'_>], one: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let mut pieces = bufs.iter().filter(|buf| !buf.is_empty());
    let first = pieces.next()?;
    let Some(second) = pieces.next() else { return Some(one(first)) };
    if first.len() + second.len() > SMALL || pieces.next().is_some() {
        return None;
    }
    COPY.with_borrow_mut(|copy| {
        copy.clear();
        copy.extend_from_slice(first);
        copy.extend_from_slice(second);
        Some(one(copy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let bufs: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        with_one_piece(&bufs, <[u8]>::to_vec)
    }

    #[test]
    fn small_pieces_are_joined_in_order() {
        assert_eq!(gathered(&[b"head", b"", b"body"]).unwrap(), b"headbody");
        assert_eq!(gathered(&[b"", b"head"]).unwrap(), b"head");
        assert_eq!(gathered(&[&[7; 5000]]).unwrap(), [7; 5000]);
    }

    #[test]
    fn what_is_large_or_many_is_left_to_the_kernel() {
        assert!(gathered(&[b"head", &[0; SMALL]]).is_none());
        assert!(gathered(&[b"a", b"b", b"c"]).is_none());
        assert!(gathered(&[]).is_none());
    }
}
