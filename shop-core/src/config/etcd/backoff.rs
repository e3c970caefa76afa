use std::time::Duration;

/// The longest first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait at all.
const MOST: Duration = Duration::from_secs(15);

/// How long to wait before trying again: anything up to a limit that doubles, so that many who lost the same server do not come
/// back together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let limit = FIRST.saturating_mul(1 << self.failures.min(16)).min(MOST);
        self.failures += 1;
        // Never none at all: what fails at once must not spin.
        limit.mul_f64(0.1 + 0.9 * crate::chance::unit())
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_are_spread() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..1_000).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (FIRST / 10..=MOST).contains(wait)));
        assert!(waits[0] <= FIRST && waits[1] <= 2 * FIRST);
        let late = &waits[10..];
        assert!(late.iter().any(|wait| *wait < MOST / 4) && late.iter().any(|wait| *wait > MOST / 4 * 3));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
