use std::time::Duration;

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(2);

/// How long to wait before repetition `n` (from 0): a random part of a span that doubles (AWS Architecture Blog, "Exponential
/// Backoff and Jitter": full jitter), but no less than the server asked for.
pub(super) fn pause(first: Duration, n: u32, asked: Option<Duration>) -> Duration {
    let span = first.saturating_mul(2_u32.saturating_pow(n)).min(LONGEST);
    let pause = span.mul_f64(shop_core::chance::unit());
    asked.map_or(pause, |asked| asked.saturating_add(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_respect_what_was_asked() {
        for n in 0..100 {
            let first = Duration::from_millis(50);
            assert!(pause(first, n, None) <= LONGEST);
            assert!(pause(first, 0, None) <= first);
            assert!(pause(first, n, Some(Duration::from_secs(3))) >= Duration::from_secs(3));
        }
    }
}
