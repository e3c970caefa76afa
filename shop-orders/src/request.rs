use std::collections::BTreeMap;

use shop_core::Money;
use shop_products::HoldLine;

use crate::OrderDetails;

/// An order that somebody asks for. Names and prices are not the caller's to say: products say them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// 1 to 1,000 lines of 1 to 1,000,000 units. Several lines of one product stay several lines of the order.
    pub lines: Vec<HoldLine>,
    /// What the buyer says of it.
    pub details: OrderDetails,
    /// Place it only if it costs exactly so much.
    pub expected_total: Option<Money>,
}

/// A change of an order, after RFC 7396 (merge patch): what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderPatch {
    /// All lines of the order as they are to be. Only the difference is taken or given back.
    pub lines: Option<Vec<HoldLine>>,
    /// `Some(None)` removes it.
    pub customer_id: Option<Option<String>>,
    /// `Some(None)` removes it.
    pub reference: Option<Option<String>>,
    /// Entries to set; an entry that is `None` is removed, and entries not named stay.
    pub metadata: Option<BTreeMap<String, Option<String>>>,
}
