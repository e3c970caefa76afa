use std::time::Duration;

use shop_products::{ProductId, ReservationId, SettleAction, Settlement, ShrinkLine};

use super::{fresh, load};
use crate::store::{ChangeSet, Footprint};
use crate::testing::OrderStoreFactory;
use crate::testing::sample::{at, expired, key, order, placed, record};
use crate::{OrderStore, Outcome};

const LEASE: Duration = Duration::from_secs(30);

fn settlements(count: usize) -> Vec<Settlement> {
    let line = || ShrinkLine { product_id: ProductId::generate(), quantity: 7 };
    let actions = [
        SettleAction::Commit,
        SettleAction::Release,
        SettleAction::Fulfil,
        SettleAction::Shrink(vec![line(), line()]),
    ];
    let settlement = |action: &SettleAction| Settlement {
        reservation_id: ReservationId::generate(),
        action: action.clone(),
    };
    actions.iter().cycle().take(count).map(settlement).collect()
}

async fn send(store: &dyn OrderStore, settlements: &[Settlement]) {
    let changes = ChangeSet { settlements: settlements.to_vec(), ..ChangeSet::default() };
    store.commit(&changes).await.expect("commit");
}

/// Open settlements are given out in their order, each to one worker, as they were written.
pub async fn settlements_are_claimed_oldest_first_and_once(factory: &dyn OrderStoreFactory) {
    let (fresh, clock) = fresh(factory).await;
    let written = settlements(10);
    send(&*fresh.store, &written[..6]).await;
    clock.advance(Duration::from_secs(1));
    send(&*fresh.other, &written[6..]).await;
    let first = fresh.store.claim_settlements(LEASE, 4).await.expect("claim");
    let second = fresh.other.claim_settlements(LEASE, 100).await.expect("claim");
    assert_eq!((first.len(), second.len()), (4, 6));
    let all: Vec<_> = first.iter().chain(&second).collect();
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence), "oldest first");
    assert_eq!(all.iter().map(|open| open.settlement.clone()).collect::<Vec<_>>(), written);
    assert_eq!((all[0].at, all[9].at), (at(0), at(1_000)), "since when, by the store's clock");
    assert_eq!(fresh.store.claim_settlements(LEASE, 100).await.expect("claim"), vec![], "all are claimed");
    let (open, oldest) = fresh.store.open_settlements(2).await.expect("open");
    assert_eq!(
        (open, oldest.len(), oldest[0].sequence),
        (10, 2, all[0].sequence),
        "claimed ones are still open"
    );
}

/// What a worker claimed and did not close is given to another once the lease is over.
pub async fn a_lease_ends(factory: &dyn OrderStoreFactory) {
    let (fresh, clock) = fresh(factory).await;
    send(&*fresh.store, &settlements(3)).await;
    let claimed = fresh.store.claim_settlements(LEASE, 2).await.expect("claim");
    clock.advance(LEASE - Duration::from_millis(1));
    let other = fresh.other.claim_settlements(LEASE, 10).await.expect("claim");
    assert_eq!(other.len(), 1, "only the one that nobody claimed");
    clock.advance(Duration::from_millis(1));
    let again = fresh.other.claim_settlements(LEASE, 10).await.expect("claim");
    assert_eq!(again, claimed, "the lease is over");
    clock.advance(LEASE / 2);
    let nothing = fresh.store.claim_settlements(LEASE, 1).await.expect("claim");
    assert_eq!(nothing, vec![], "the new leases count from the new claim");
}

/// A closed settlement is never given out again, and a late second close meets no other.
pub async fn settlements_are_closed_once(factory: &dyn OrderStoreFactory) {
    let (fresh, clock) = fresh(factory).await;
    send(&*fresh.store, &settlements(3)).await;
    let claimed = fresh.store.claim_settlements(LEASE, 10).await.expect("claim");
    let sequences: Vec<u64> = claimed.iter().map(|open| open.sequence).collect();
    fresh.store.close_settlements(&sequences[..2]).await.expect("close");
    assert_eq!(fresh.other.open_settlements(10).await.expect("open"), (1, vec![claimed[2].clone()]));
    fresh.store.close_settlements(&sequences).await.expect("close once more");
    assert_eq!(fresh.other.open_settlements(10).await.expect("open").0, 0);
    clock.advance(LEASE * 2);
    assert_eq!(fresh.store.claim_settlements(LEASE, 10).await.expect("claim"), vec![]);
    // The slow worker of before closes again, after new settlements came.
    send(&*fresh.store, &settlements(3)).await;
    fresh.store.close_settlements(&sequences).await.expect("close late");
    fresh.store.close_settlements(&[]).await.expect("close nothing");
    assert_eq!(
        fresh.store.open_settlements(10).await.expect("open").0,
        3,
        "a late close closed another settlement"
    );
}

/// Records from before a time go, up to so many, and the keys of their decisions with them: the key is free again.
pub async fn old_records_are_purged_with_their_keys(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let names = ["old", "older", "oldest", "new"];
    let orders: Vec<_> =
        (0..4).map(|n| order(n + 1, at([30, 20, 10, 100][usize::try_from(n).expect("small")]))).collect();
    for (order, name) in orders.iter().zip(names) {
        fresh.store.commit(&placed(order, Some(&key(name)))).await.expect("commit");
    }
    let footprint = || Footprint { keys: names.map(key).into(), ..Footprint::default() };
    assert_eq!(fresh.store.purge(at(10), at(0), 10).await.expect("purge"), 0, "before, not at, that time");
    assert_eq!(fresh.store.purge(at(50), at(0), 2).await.expect("purge"), 2, "no more than so many");
    assert_eq!(fresh.store.purge(at(50), at(0), 2).await.expect("purge"), 1);
    assert_eq!(fresh.store.purge(at(50), at(0), 2).await.expect("purge"), 0);
    let snapshot = load(&fresh.other, footprint()).await;
    assert_eq!(snapshot.records.keys().collect::<Vec<_>>(), vec![&key("new")]);
    assert_eq!(snapshot.decisions.len(), 1, "the decisions have lost their keys");
    let reservations = orders.iter().map(|order| order.holds[0].reservation_id).collect();
    let snapshot = load(&fresh.store, Footprint { reservations, ..Footprint::default() }).await;
    assert_eq!(snapshot.decisions.len(), 4, "but they stay");
    let free = ChangeSet { records: vec![record(&key("old"), at(200))], ..ChangeSet::default() };
    fresh.store.commit(&free).await.expect("a purged key can be used again");
    let mut again = placed(&order(9, at(200)), Some(&key("older")));
    again.records.clear();
    fresh.store.commit(&again).await.expect("and can place again");
}

/// Decisions that gave a reservation up go when they are old; those that placed an order stay for ever.
pub async fn old_expired_decisions_are_purged(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let live = order(1, at(1));
    fresh.store.commit(&placed(&live, None)).await.expect("commit");
    let ids: Vec<_> = (0..5).map(|_| ReservationId::generate()).collect();
    let decisions = ids.iter().zip(1..).map(|(id, n)| expired(*id, Some(&key("k")), at(n * 10))).collect();
    fresh.store.commit(&ChangeSet { decisions, ..ChangeSet::default() }).await.expect("commit");
    assert_eq!(fresh.store.purge(at(0), at(35), 2).await.expect("purge"), 2);
    assert_eq!(fresh.store.purge(at(0), at(35), 2).await.expect("purge"), 1);
    let reservations = ids.iter().copied().chain([live.holds[0].reservation_id]).collect();
    let snapshot = load(&fresh.store, Footprint { reservations, ..Footprint::default() }).await;
    assert_eq!(snapshot.decisions.len(), 3);
    assert!(ids[3..].iter().all(|id| snapshot.decisions[id].outcome == Outcome::Expired));
    assert_eq!(snapshot.decisions[&live.holds[0].reservation_id].outcome, Outcome::Placed(live.id));
}
