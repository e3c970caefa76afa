use serde::{Deserialize, Serialize};
#[cfg(feature = "http")]
use shop_core::FieldError;

use super::units::units;
use crate::{ProductId, ReservationId, ReservationState, SettleAction, SettleOutcome, Settlement};
#[cfg(feature = "http")]
use crate::{ShrinkLine, validate};

/// What to do with which reservations, in this order; at most 10,000 in all. Every one may come twice, late or out of order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = SettleRequest))]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleBody {
    /// `held → committed`; anything else stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "http", schema(value_type = Vec<crate::http::schema::ReservationIdText>, required = false, max_items = 10000))]
    pub(crate) commit: Vec<ReservationId>,
    /// `held`, `committed` or never seen `→ released`; anything else stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "http", schema(value_type = Vec<crate::http::schema::ReservationIdText>, required = false, max_items = 10000))]
    pub(crate) release: Vec<ReservationId>,
    /// `held` or `committed → fulfilled`: the units leave the warehouse; anything else stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "http", schema(value_type = Vec<crate::http::schema::ReservationIdText>, required = false, max_items = 10000))]
    pub(crate) fulfil: Vec<ReservationId>,
    /// A live reservation gives back what it has above these quantities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "http", schema(required = false, max_items = 10000))]
    pub(crate) shrink: Vec<ShrinkBody>,
}

/// What a reservation keeps; it never grows, and a product that is not named falls to 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = Shrink))]
#[serde(deny_unknown_fields)]
pub(crate) struct ShrinkBody {
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::ReservationIdText))]
    pub(crate) id: ReservationId,
    pub(crate) lines: Vec<ShrinkLineBody>,
}

/// What it keeps of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = ShrinkLine))]
#[serde(deny_unknown_fields)]
pub(crate) struct ShrinkLineBody {
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::ProductIdText))]
    pub(crate) product_id: ProductId,
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::Kept))]
    #[serde(deserialize_with = "units")]
    pub(crate) quantity: i64,
}

/// The answer: one outcome a settlement, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = Outcomes))]
pub(crate) struct OutcomesBody {
    pub(crate) outcomes: Vec<OutcomeBody>,
}

/// Where a reservation stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = Outcome))]
pub(crate) struct OutcomeBody {
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::ReservationIdText))]
    pub(crate) id: ReservationId,
    /// `null`: there is no such reservation.
    #[cfg_attr(feature = "http", schema(required, value_type = Option<crate::http::schema::ReservationStateName>))]
    pub(crate) state: Option<ReservationState>,
}

impl From<&SettleOutcome> for OutcomeBody {
    fn from(outcome: &SettleOutcome) -> Self {
        Self { id: outcome.reservation_id, state: outcome.state }
    }
}

impl SettleBody {
    /// # Errors
    /// Every fault, by its place in this body.
    #[cfg(feature = "http")]
    pub(crate) fn into_settlements(self) -> Result<Vec<Settlement>, Vec<FieldError>> {
        let plain = |action: SettleAction| {
            move |reservation_id| Settlement { reservation_id, action: action.clone() }
        };
        let mut all: Vec<Settlement> = self.commit.into_iter().map(plain(SettleAction::Commit)).collect();
        all.extend(self.release.into_iter().map(plain(SettleAction::Release)));
        all.extend(self.fulfil.into_iter().map(plain(SettleAction::Fulfil)));
        let mut faults = Vec::new();
        for (n, shrink) in self.shrink.into_iter().enumerate() {
            let lines = shrink.lines.into_iter();
            let lines = lines.map(|line| ShrinkLine { product_id: line.product_id, quantity: line.quantity });
            let settlement =
                Settlement { reservation_id: shrink.id, action: SettleAction::Shrink(lines.collect()) };
            // The rule's pointer is into a list of settlements; ours is grouped by what is done.
            for fault in validate::settlements(std::slice::from_ref(&settlement)) {
                let place = fault.pointer.strip_prefix("/0/shrink").unwrap_or_default();
                faults.push(FieldError { pointer: format!("/shrink/{n}/lines{place}"), ..fault });
            }
            all.push(settlement);
        }
        if all.len() > validate::MAX_SETTLEMENTS {
            faults = validate::settlements(&all);
        }
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// Adds a settlement; its outcome stands where [`order`](Self::order) says.
    #[cfg(feature = "client")]
    pub(crate) fn push(&mut self, settlement: &Settlement) {
        let id = settlement.reservation_id;
        match &settlement.action {
            SettleAction::Commit => self.commit.push(id),
            SettleAction::Release => self.release.push(id),
            SettleAction::Fulfil => self.fulfil.push(id),
            SettleAction::Shrink(lines) => {
                let lines = lines.iter();
                let lines =
                    lines.map(|line| ShrinkLineBody { product_id: line.product_id, quantity: line.quantity });
                self.shrink.push(ShrinkBody { id, lines: lines.collect() });
            }
        }
    }

    /// The reservations in the order of the outcomes.
    #[cfg(feature = "client")]
    pub(crate) fn order(&self) -> impl Iterator<Item = ReservationId> {
        let plain = self.commit.iter().chain(&self.release).chain(&self.fulfil).copied();
        plain.chain(self.shrink.iter().map(|shrink| shrink.id))
    }
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_by_its_place_in_the_body() {
        let (id, product) = (ReservationId::generate(), ProductId::generate());
        let line = |quantity| ShrinkLineBody { product_id: product, quantity };
        let body = SettleBody {
            commit: vec![id],
            shrink: vec![ShrinkBody { id, lines: vec![line(1), line(-1)] }],
            ..SettleBody::default()
        };
        let faults = body.into_settlements().unwrap_err();
        assert_eq!((faults.len(), &*faults[0].pointer), (1, "/shrink/0/lines/1/quantity"));
        let many = SettleBody { commit: vec![id; 10_001], ..SettleBody::default() };
        let faults = many.into_settlements().unwrap_err();
        assert_eq!((faults.len(), &*faults[0].code), (1, "too_many"));
    }
}
