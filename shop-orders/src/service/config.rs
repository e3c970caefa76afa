use std::time::Duration;

use shop_core::CombinerConfig;

/// How an [`OrderService`](crate::OrderService) works. The defaults suit a shop of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderServiceConfig {
    /// How decisions gather into transactions.
    pub combiner: CombinerConfig,
    /// How long placing or editing may wait for products (10 s). At its end the answer is
    /// [`ProductsUnavailable`](crate::OrderError::ProductsUnavailable).
    pub place_deadline: Duration,
    /// The waits between holds whose result is unknown.
    pub hold_backoff: Backoff,
    /// Between two rounds of recovery (2 s).
    pub recovery_interval: Duration,
    /// The most requests that place or change orders and are worked on at once (10,000); more are refused with
    /// [`Unavailable`](crate::OrderError::Unavailable).
    pub max_flows: usize,
    /// How old a held reservation is before recovery gives it up (30 s). Longer than `place_deadline`, or slow orders
    /// are given up while they are placed.
    pub grace: Duration,
    /// How long settlements gather before they are sent (50 ms). Placing does not wait for them.
    pub settle_interval: Duration,
    /// The most settlements sent in one call (500).
    pub settle_batch: usize,
    /// The waits between settlements that products did not acknowledge.
    pub settle_backoff: Backoff,
    /// How long settlements belong to the worker that claimed them (30 s).
    pub lease: Duration,
    /// How long idempotency records are kept (24 h).
    pub record_ttl: Duration,
    /// How long the rows of reservations that were given up are kept (7 days).
    pub decision_ttl: Duration,
    /// Between two rounds of housekeeping (1 min).
    pub maintenance_interval: Duration,
}

impl Default for OrderServiceConfig {
    fn default() -> Self {
        Self {
            combiner: CombinerConfig::default(),
            place_deadline: Duration::from_secs(10),
            hold_backoff: Backoff { first: Duration::from_millis(20), most: Duration::from_secs(1) },
            max_flows: 10_000,
            recovery_interval: Duration::from_secs(2),
            grace: Duration::from_secs(30),
            settle_interval: Duration::from_millis(50),
            settle_batch: 500,
            settle_backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(5) },
            lease: Duration::from_secs(30),
            record_ttl: Duration::from_secs(24 * 3_600),
            decision_ttl: Duration::from_secs(7 * 24 * 3_600),
            maintenance_interval: Duration::from_secs(60),
        }
    }
}

impl OrderServiceConfig {
    /// Whether a service can work with these settings; to be asked before [`OrderService::start`](crate::OrderService::start).
    ///
    /// # Errors
    /// [`OrderConfigError`] names the first setting that is wrong.
    pub fn validate(&self) -> Result<(), OrderConfigError> {
        let spans = [
            ("place_deadline", self.place_deadline),
            ("recovery_interval", self.recovery_interval),
            ("lease", self.lease),
            ("maintenance_interval", self.maintenance_interval),
        ];
        let counts = [("settle_batch", self.settle_batch), ("max_flows", self.max_flows)];
        let no_time = spans.iter().find(|(_, span)| span.is_zero()).map(|(name, _)| *name);
        let none = counts.iter().find(|(_, count)| *count == 0).map(|(name, _)| *name);
        if let Some(name) = no_time.or(none) {
            return Err(OrderConfigError::Zero(name));
        }
        if self.place_deadline >= self.grace {
            return Err(OrderConfigError::GraceTooShort {
                grace: self.grace,
                place_deadline: self.place_deadline,
            });
        }
        Ok(())
    }
}

/// Why a service cannot work with its settings. Its text is the [setting](Self::setting), then what is
/// [wrong](Self::fault) with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{} {}", self.setting(), self.fault())]
pub enum OrderConfigError {
    /// Recovery would give orders up while they are placed.
    GraceTooShort {
        /// How old a held reservation is before recovery gives it up.
        grace: Duration,
        /// How long placing may take.
        place_deadline: Duration,
    },
    /// This setting must not be 0.
    Zero(&'static str),
}

impl OrderConfigError {
    /// The setting that is wrong, a field of [`OrderServiceConfig`].
    pub fn setting(&self) -> &'static str {
        match self {
            Self::GraceTooShort { .. } => "place_deadline",
            Self::Zero(setting) => setting,
        }
    }

    /// What is wrong with it, for a message that has named it in its own way.
    pub fn fault(&self) -> String {
        match self {
            Self::GraceTooShort { grace, .. } => format!("must be less than grace, which is {grace:?}"),
            Self::Zero(_) => "must not be 0".into(),
        }
    }
}

/// Waits that double from `first` to `most`, each shortened by a random part of up to a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Backoff {
    /// The wait after so many failures (from 0).
    pub fn wait(&self, failures: u32) -> Duration {
        let full = self.first.saturating_mul(1 << failures.min(20)).min(self.most);
        full.mul_f64(0.5 + 0.5 * shop_core::chance::unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };
        for (failures, full) in [(0, 10), (1, 20), (3, 80), (4, 100), (200, 100)] {
            let wait = backoff.wait(failures);
            assert!(
                wait >= Duration::from_millis(full) / 2 && wait <= Duration::from_millis(full),
                "{wait:?}"
            );
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let good = OrderServiceConfig::default();
        assert_eq!(good.validate(), Ok(()));
        for place_deadline in [good.grace, good.grace * 2] {
            let error = OrderServiceConfig { place_deadline, ..good.clone() }.validate().unwrap_err();
            assert_eq!(error, OrderConfigError::GraceTooShort { grace: good.grace, place_deadline });
            assert_eq!(error.to_string(), "place_deadline must be less than grace, which is 30s");
        }
        let no_lease = OrderServiceConfig { lease: Duration::ZERO, ..good.clone() };
        let error = no_lease.validate().unwrap_err();
        assert_eq!(
            (error, error.to_string()),
            (OrderConfigError::Zero("lease"), "lease must not be 0".into())
        );
        let no_flows = OrderServiceConfig { max_flows: 0, ..good };
        assert_eq!(no_flows.validate(), Err(OrderConfigError::Zero("max_flows")));
    }
}
