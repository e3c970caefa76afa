//! Requests in time: GCRA, the token bucket that keeps one number a key.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::Verdict;
use crate::config::{ConfigErrors, RateLimitConfig};

/// Locks, so that workers seldom meet at one.
const SHARDS: usize = 16;

/// Counts requests and refuses those above a rate; see [`RateLimitConfig`]. Shared by reference among threads.
///
/// ```
/// use std::time::Instant;
///
/// use http::HeaderMap;
/// use shop_gateway::config::RateLimitConfig;
/// use shop_gateway::policy::RateLimiter;
///
/// let limiter = RateLimiter::new(&RateLimitConfig::new(2))?;
/// let (client, headers, now) = (Some("192.0.2.1".parse()?), HeaderMap::new(), Instant::now());
/// assert_eq!(limiter.take(client, &headers, now).remaining, 1);
/// assert!(limiter.take(client, &headers, now).allowed);
/// assert!(!limiter.take(client, &headers, now).allowed);
/// assert!(limiter.take(Some("192.0.2.2".parse()?), &headers, now).allowed);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct RateLimiter {
    by: By,
    /// Nanoseconds a request costs.
    cost: u64,
    burst: u32,
    max_keys: usize,
    policy: HeaderValue,
    start: Instant,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug)]
enum By {
    Client,
    Route,
    Header(HeaderName),
}

/// Until when each key has used up what it has, in nanoseconds of the limiter; never in the past for long.
#[derive(Default)]
struct Shard {
    until: HashMap<u64, u64>,
    /// What the keys share for which there is no room.
    overflow: u64,
    swept: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Whether it goes on.
    pub allowed: bool,
    /// How many more would at once.
    pub remaining: u32,
    /// When the whole burst is there again.
    pub reset: Duration,
    /// When the next one goes on; zero if that is now.
    pub retry_after: Duration,
}

impl RateLimiter {
    /// A limiter that has counted nothing.
    ///
    /// # Errors
    /// Every fault of the configuration.
    pub fn new(config: &RateLimitConfig) -> Result<Self, ConfigErrors> {
        let mut faults = ConfigErrors::default();
        config.check("rate_limit", &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let burst = config.burst.unwrap_or(config.rate);
        let cost = config.per.0.as_nanos() as u64 / u64::from(config.rate);
        let window = seconds(Duration::from_nanos(cost.saturating_mul(u64::from(burst))));
        Ok(Self {
            by: match config.by.as_str() {
                "route" => By::Route,
                _ => config.header().map_or(By::Client, By::Header),
            },
            cost,
            burst,
            max_keys: config.max_keys as usize,
            policy: HeaderValue::try_from(format!("\"default\";q={burst};w={window}"))
                .expect("numbers are visible ASCII"),
            start: Instant::now(),
            hasher: RandomState::new(),
            shards: Default::default(),
        })
    }

    /// Counts a request at a time; one that is refused costs nothing.
    pub fn take(&self, client: Option<IpAddr>, headers: &HeaderMap, now: Instant) -> Quota {
        let key = self.key(client, headers);
        // At zero nobody has used anything: begin above it.
        let now = now.saturating_duration_since(self.start).as_nanos() as u64 + 1;
        let mut shard = self.shards[key as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.max_keys.div_ceil(SHARDS);
        if shard.until.len() >= room && !shard.until.contains_key(&key) && now >= shard.swept {
            shard.until.retain(|_, until| *until > now);
            // Not at every request of a crowd: each pass pays for itself over as many requests or a while.
            shard.swept = now + Duration::from_millis(100).as_nanos() as u64;
        }
        let full = shard.until.len() >= room;
        let Shard { until: keys, overflow, .. } = &mut *shard;
        let used = match keys.get_mut(&key) {
            Some(used) => used,
            None if full => overflow,
            None => keys.entry(key).or_default(),
        };
        let most = self.cost.saturating_mul(u64::from(self.burst));
        let before = (*used).max(now) - now;
        let after = before.saturating_add(self.cost);
        let allowed = after <= most;
        let spent = if allowed { after } else { before };
        *used = now + spent;
        Quota {
            allowed,
            remaining: ((most - spent.min(most)) / self.cost) as u32,
            reset: Duration::from_nanos(spent),
            retry_after: Duration::from_nanos((spent + self.cost).saturating_sub(most)),
        }
    }

    /// How many keys are counted now.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).until.len()).sum()
    }

    /// Says what is left by `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn report(&self, quota: &Quota, headers: &mut HeaderMap) {
        let left = format!("\"default\";r={};t={}", quota.remaining, seconds(quota.reset));
        headers.insert("ratelimit-policy", self.policy.clone());
        headers.insert("ratelimit", HeaderValue::try_from(left).expect("numbers are visible ASCII"));
    }

    /// A hash with a secret of the process: what is counted is not kept, nor can a client choose whom it meets.
    fn key(&self, client: Option<IpAddr>, headers: &HeaderMap) -> u64 {
        match &self.by {
            By::Route => 0,
            By::Header(name) if headers.contains_key(name) => {
                let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                self.hasher.hash_one((1u8, values))
            }
            By::Client | By::Header(_) => match client.map(|ip| ip.to_canonical()) {
                None => 0,
                Some(IpAddr::V4(ip)) => self.hasher.hash_one((4u8, ip.octets())),
                Some(IpAddr::V6(ip)) => self.hasher.hash_one((6u8, &ip.octets()[..8])),
            },
        }
    }
}

impl Quota {
    /// The same for whoever wants to know why.
    pub fn explain(&self) -> Verdict {
        let reason = if self.allowed {
            format!("{} more at once", self.remaining)
        } else {
            format!("the next in {} s", seconds(self.retry_after))
        };
        Verdict { policy: "rate_limit", allowed: self.allowed, reason }
    }
}

/// Whole seconds, and never too early.
pub(crate) fn seconds(span: Duration) -> u32 {
    span.as_nanos().div_ceil(1_000_000_000).try_into().unwrap_or(u32::MAX)
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("by", &self.by)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    fn limiter(config: RateLimitConfig) -> RateLimiter {
        RateLimiter::new(&config).unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn what_is_spent_comes_back_evenly() {
        let limiter = limiter(RateLimitConfig { burst: Some(3), ..RateLimitConfig::new(2) });
        let (start, headers) = (Instant::now(), HeaderMap::new());
        let take = |ms| limiter.take(ip("192.0.2.1"), &headers, start + Duration::from_millis(ms));
        assert_eq!([take(0).remaining, take(0).remaining, take(0).remaining], [2, 1, 0]);
        let refused = take(0);
        assert!(!refused.allowed);
        assert_eq!(
            (refused.retry_after, refused.reset),
            (Duration::from_millis(500), Duration::from_millis(1500))
        );
        assert_eq!(seconds(refused.retry_after), 1);
        assert!(!take(499).allowed && take(500).allowed && !take(999).allowed && take(1000).allowed);
        // More than the burst is never there.
        assert_eq!(take(60_000).remaining, 2);
    }

    #[test]
    fn addresses_are_counted_as_they_are_given_out() {
        let limiter = limiter(RateLimitConfig::new(1));
        let (now, headers) = (Instant::now(), HeaderMap::new());
        let take = |client: &str| limiter.take(ip(client), &headers, now).allowed;
        assert!(take("2001:db8::1") && !take("2001:db8::ffff:2") && take("2001:db8:0:1::1"));
        assert!(take("192.0.2.1") && !take("::ffff:192.0.2.1") && take("192.0.2.2"));
    }

    #[test]
    fn a_header_in_any_case_and_its_absence() {
        let limiter = limiter(RateLimitConfig { by: "header:X-Key".into(), ..RateLimitConfig::new(1) });
        let now = Instant::now();
        let take = |key: Option<&'static str>, client| {
            let headers: HeaderMap = key
                .map(|key| (HeaderName::from_static("x-key"), HeaderValue::from_static(key)))
                .into_iter()
                .collect();
            limiter.take(ip(client), &headers, now).allowed
        };
        assert!(
            take(Some("a"), "192.0.2.1") && !take(Some("a"), "192.0.2.2") && take(Some("b"), "192.0.2.1")
        );
        assert!(take(None, "192.0.2.1") && !take(None, "192.0.2.1"));
    }

    #[test]
    fn threads_together_get_no_more_than_one() {
        let limiter = limiter(RateLimitConfig {
            per: shop_core::config::HumanDuration(Duration::from_secs(3600)),
            ..RateLimitConfig::new(1000)
        });
        let (now, taken) = (Instant::now(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let quota = limiter.take(ip("192.0.2.1"), &HeaderMap::new(), now);
                        taken.fetch_add(u32::from(quota.allowed), Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 1000);
    }

    #[test]
    fn a_crowd_takes_no_more_room_and_shares_one_limit() {
        let limiter = limiter(RateLimitConfig { max_keys: 160, ..RateLimitConfig::new(1) });
        let (start, headers) = (Instant::now(), HeaderMap::new());
        let crowd = |at| {
            let take = |n: u32| limiter.take(Some(IpAddr::V4(n.into())), &headers, at).allowed;
            (0..10_000).filter(|&n| take(n)).count()
        };
        let allowed = crowd(start);
        assert_eq!(limiter.keys(), 160);
        // One for each that is counted, and one for all others of each shard.
        assert_eq!(allowed, 160 + SHARDS);
        // Those at rest make room.
        assert_eq!(crowd(start + Duration::from_secs(5)), 160 + SHARDS);
        assert_eq!(limiter.keys(), 160);
    }
}
