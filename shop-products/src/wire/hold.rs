use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(feature = "http")]
use shop_core::FieldError;

use super::line::LineBody;
#[cfg(feature = "http")]
use super::line::into_lines;
use super::units::optional;
use crate::HoldRequest;
#[cfg(feature = "http")]
use crate::ReservationId;

/// What to hold: all lines or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = HoldRequest))]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldBody {
    #[cfg_attr(feature = "http", schema(value_type = Vec<crate::http::schema::LineSchema>, min_items = 1, max_items = 1000))]
    pub(crate) lines: Vec<LineBody>,
    /// Who settles it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "http", schema(value_type = Option<crate::http::schema::OwnerText>))]
    pub(crate) owner: Option<String>,
    /// Seconds after which it releases itself, if it is still held then; `null`: never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    #[cfg_attr(feature = "http", schema(value_type = Option<crate::http::schema::Seconds>))]
    pub(crate) expires_in: Option<i64>,
}

#[cfg(feature = "http")]
impl HoldBody {
    /// # Errors
    /// Every fault of the lines' products; the rest is the service's to say.
    pub(crate) fn into_request(self, id: ReservationId) -> Result<HoldRequest, Vec<FieldError>> {
        // A span cannot be negative; none at all is refused the same way.
        let expires_in = self.expires_in.map(|s| Duration::from_secs(u64::try_from(s).unwrap_or_default()));
        Ok(HoldRequest { id, owner: self.owner, lines: into_lines(self.lines)?, expires_in })
    }
}

impl From<&HoldRequest> for HoldBody {
    fn from(request: &HoldRequest) -> Self {
        // A part of a second more is kept, rather than cut to nothing.
        let seconds = |span: Duration| i64::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
        Self {
            lines: request.lines.iter().map(LineBody::from).collect(),
            owner: request.owner.clone(),
            expires_in: request.expires_in.map(seconds),
        }
    }
}
