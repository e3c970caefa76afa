use std::sync::Arc;

use super::entries::{Entries, Entry};

/// What a range read found, at one revision.
pub(super) struct Read {
    pub(super) cluster: u64,
    pub(super) revision: i64,
    pub(super) entries: Entries,
}

/// An answer of a watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Notice {
    pub(super) cluster: u64,
    /// The member's, when it was sent.
    pub(super) revision: i64,
    /// That the watch began.
    pub(super) created: bool,
    pub(super) canceled: bool,
    /// Not 0: what was to be watched from is compacted.
    pub(super) compacted: i64,
    pub(super) reason: String,
    pub(super) events: Vec<Event>,
}

/// A key that was written, or deleted (`None`).
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) key: String,
    pub(super) value: Option<Arc<[u8]>>,
    pub(super) revision: i64,
}

/// Why a watch cannot go on: everything is read again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("what was to be watched is compacted up to revision {0}")]
    Compacted(i64),
    #[error("etcd cancelled the watch: {0}")]
    Canceled(String),
    #[error("another cluster answers")]
    OtherCluster,
    #[error("the revision went back from {0} to {1}")]
    WentBack(i64, i64),
    #[error("etcd is silent")]
    Silent,
    #[error("{0}")]
    Broken(String),
}

/// What etcd holds below the prefix, as far as it was told.
#[derive(Default)]
pub(super) struct Mirror {
    cluster: u64,
    revision: i64,
    entries: Entries,
}

impl Mirror {
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// Everything anew.
    pub(super) fn replace(&mut self, read: Read) {
        *self = Self { cluster: read.cluster, revision: read.revision, entries: read.entries };
    }

    /// Whether a notice continues what is known; then its events, those of each transaction together.
    pub(super) fn check<'n>(&self, notice: &'n Notice) -> Result<Vec<&'n [Event]>, Lost> {
        if notice.cluster != self.cluster {
            return Err(Lost::OtherCluster);
        }
        if notice.compacted > 0 {
            return Err(Lost::Compacted(notice.compacted));
        }
        if notice.canceled {
            return Err(Lost::Canceled(notice.reason.clone()));
        }
        // A member that lags behind the one that was read may begin a watch; it has caught up when it tells of anything.
        if !notice.created && notice.revision < self.revision {
            return Err(Lost::WentBack(self.revision, notice.revision));
        }
        Ok(notice.events.chunk_by(|a, b| a.revision == b.revision).collect())
    }

    /// Takes over a transaction. The revision comes from events alone: what a progress answer says may be ahead of them
    /// (etcd #15220).
    pub(super) fn apply(&mut self, transaction: &[Event]) {
        for event in transaction {
            if event.revision <= self.revision {
                continue;
            }
            match &event.value {
                Some(value) => {
                    let entry = Entry { value: value.clone(), revision: event.revision };
                    self.entries.insert(event.key.clone(), entry);
                }
                None => {
                    self.entries.remove(&event.key);
                }
            }
        }
        self.revision = transaction.iter().map(|event| event.revision).fold(self.revision, i64::max);
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::tests::entries;
    use super::*;

    fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        mirror.replace(Read { cluster: 7, revision: 10, entries: entries(&[("/s/a", "1", 9)]) });
        mirror
    }

    fn event(key: &str, value: Option<&str>, revision: i64) -> Event {
        Event { key: key.into(), value: value.map(|value| value.as_bytes().into()), revision }
    }

    #[test]
    fn the_events_of_a_transaction_stay_together() {
        let mut mirror = mirror();
        let events = vec![
            event("/s/a", None, 11),
            event("/s/b", Some("2"), 11),
            event("/s/b", Some("3"), 12),
            event("/s/a", Some("old"), 10),
        ];
        let notice = Notice { cluster: 7, revision: 12, events, ..Notice::default() };
        let transactions = mirror.check(&notice).unwrap();
        assert_eq!(transactions.iter().map(|events| events.len()).collect::<Vec<_>>(), [2, 1, 1]);
        transactions.iter().for_each(|events| mirror.apply(events));
        assert!(*mirror.entries() == entries(&[("/s/b", "3", 12)]));
        assert_eq!(mirror.revision(), 12);
    }

    #[test]
    fn what_does_not_continue_is_read_again() {
        let mirror = mirror();
        let good = Notice { cluster: 7, revision: 10, ..Notice::default() };
        assert!(mirror.check(&good).unwrap().is_empty());
        assert!(mirror.check(&Notice { created: true, revision: 9, ..good.clone() }).is_ok());
        for (notice, lost) in [
            (Notice { cluster: 8, ..good.clone() }, Lost::OtherCluster),
            (Notice { revision: 9, ..good.clone() }, Lost::WentBack(10, 9)),
            (Notice { canceled: true, compacted: 15, ..good.clone() }, Lost::Compacted(15)),
            (Notice { canceled: true, reason: "x".into(), ..good }, Lost::Canceled("x".into())),
        ] {
            assert_eq!(mirror.check(&notice).unwrap_err(), lost);
        }
    }
}
