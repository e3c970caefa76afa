//! Hold, decide, settle, checked in every state that it can be in.
//!
//! One idempotency key, two attempts, one product, one rival buyer, two requests with the key at once, and recovery. Every
//! agent may stop for ever at any step (a crash, or a lost message), and a hold, commit or release that was ever sent may
//! be delivered again at any later time. The broken variants show that the properties can fail.
#![allow(clippy::unwrap_used)]

mod protocol;
mod state;

use protocol::{Protocol, SOUND_AFTER_RECOVERY, Variant};
use stateright::{Checker as _, Expectation, Model as _};

fn explore(variant: Variant, stock: u8) -> impl stateright::Checker<Protocol> {
    Protocol { variant, stock }.checker().spawn_bfs().join()
}

#[test]
fn scarce_stock_is_sound_in_every_state() {
    let checker = explore(Variant::Sound, 1);
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), 2_207);
}

#[test]
fn ample_stock_is_sound_in_every_state() {
    let checker = explore(Variant::Sound, 2);
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), 5_326);
}

/// Why terminal reservations may be purged.
#[test]
fn forgetting_released_reservations_is_sound() {
    for stock in [1, 2] {
        explore(Variant::Forgets, stock).assert_properties();
    }
}

/// Ways to states that must never be. What is only to be met sometimes is a discovery as well.
fn faults(variant: Variant, stock: u8) -> Vec<Vec<protocol::Action>> {
    let checker = explore(variant, stock);
    let never = |name: &'static str| checker.model().property(name).expectation == Expectation::Always;
    let found = checker.discoveries().into_iter().filter(|(name, _)| never(name));
    found.map(|(_, path)| path.into_actions()).collect()
}

#[test]
fn products_that_release_by_their_own_clock_are_caught() {
    for stock in [1, 2] {
        let found = faults(Variant::ReleasesByClock, stock);
        assert!(!found.is_empty());
        for path in found {
            assert!(
                path.iter().any(|action| matches!(action, protocol::Action::ClockReleases(_))),
                "{path:?}"
            );
        }
    }
}

#[test]
fn recovery_that_releases_before_it_has_written_the_expired_row_is_caught() {
    for stock in [1, 2] {
        assert!(!faults(Variant::NoExpiredRow, stock).is_empty());
    }
}

#[test]
fn a_placed_row_written_in_spite_of_the_expired_row_is_caught() {
    for stock in [1, 2] {
        assert!(!faults(Variant::DecidesBlindly, stock).is_empty());
    }
}

/// A state that recovery cannot mend is told as such, not only as an effect of it.
#[test]
fn every_property_of_the_table_is_there() {
    let model = Protocol { variant: Variant::Sound, stock: 1 };
    let names: Vec<_> = model.properties().iter().map(|property| property.name).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    assert!(names.contains(&SOUND_AFTER_RECOVERY));
}
