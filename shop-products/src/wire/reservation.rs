use serde::{Deserialize, Serialize};
use shop_core::{Cursor, Timestamp};

use crate::{Reservation, ReservationId, ReservationState, ReservedLine};

/// A reservation as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = Reservation))]
pub(crate) struct ReservationBody {
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::ReservationIdText))]
    pub(crate) id: ReservationId,
    #[serde(default)]
    #[cfg_attr(feature = "http", schema(required, value_type = Option<crate::http::schema::OwnerText>))]
    pub(crate) owner: Option<String>,
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::ReservationStateName))]
    pub(crate) state: ReservationState,
    /// One a product, in the order of the request. Empty for an id that was released before it was ever held.
    #[cfg_attr(feature = "http", schema(value_type = Vec<crate::http::schema::ReservedLineSchema>))]
    pub(crate) lines: Vec<ReservedLine>,
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::TimeText))]
    pub(crate) created_at: Timestamp,
    /// When its state last changed.
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::TimeText))]
    pub(crate) updated_at: Timestamp,
    /// When it releases itself, if it is still held then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "http", schema(value_type = crate::http::schema::TimeText, required = false))]
    pub(crate) expires_at: Option<Timestamp>,
}

impl From<Reservation> for ReservationBody {
    fn from(held: Reservation) -> Self {
        Self {
            id: held.id,
            owner: held.owner,
            state: held.state,
            lines: held.lines,
            created_at: held.created_at,
            updated_at: held.updated_at,
            expires_at: held.expires_at,
        }
    }
}

impl From<ReservationBody> for Reservation {
    fn from(body: ReservationBody) -> Self {
        Self {
            id: body.id,
            owner: body.owner,
            state: body.state,
            lines: body.lines,
            created_at: body.created_at,
            updated_at: body.updated_at,
            expires_at: body.expires_at,
        }
    }
}

/// A page of reservations, oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = ReservationPage))]
pub(crate) struct ReservationPage {
    pub(crate) data: Vec<ReservationBody>,
    /// `null` at the end of the list.
    #[cfg_attr(feature = "http", schema(required, value_type = Option<String>))]
    pub(crate) next_cursor: Option<Cursor>,
}
