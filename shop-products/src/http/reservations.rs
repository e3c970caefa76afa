//! `/v1/reservations`.

use std::sync::Arc;

use serde::Deserialize;
use shop_core::Problem;
use shop_core::http::{Json, Request, Response, ResponseExt, StatusCode, from_json_slice, reply};
use shop_core::idempotency::{Answered, StoredAnswer};

use super::paging::{linked, page};
use super::params::ReservationParams;
use super::routes::{Api, first, stored};
use super::schema::ReservationIdText;
use crate::wire::{HoldBody, OutcomeBody, OutcomesBody, ReservationBody, ReservationPage, SettleBody};
use crate::{
    ProductError, Reservation, ReservationId, ReservationState, SettleAction, SettleOutcome, Settlement,
};

/// 10,000 ids and their quotes are 400 KB; the lines of shrunk reservations are longer.
const SETTLE_BODY: usize = 8 << 20;

/// Hold stock: all lines or none
///
/// The same again is answered with what was held then.
#[utoipa::path(
    put, path = "/v1/reservations/{id}", tag = "reservations", operation_id = "hold",
    params(("id" = inline(ReservationIdText), Path)),
    request_body = HoldBody,
    responses(
        (status = 201, description = "Held", body = ReservationBody),
        (status = 200, description = "Held before, with the same lines", body = ReservationBody)
    )
)]
pub(super) async fn hold(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let id: ReservationId = request.param_as("id")?;
    let Json { value, .. } = request.json::<HoldBody>().await?;
    let wanted = value.into_request(id).map_err(ProductError::Invalid)?;
    let (held, fresh) = api.service.hold(&wanted).await?;
    let (version, location) = (version(&held), format!("/v1/reservations/{id}"));
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    let response = reply::json(status, &ReservationBody::from(held))?.with_etag(version);
    Ok(if fresh { response.with_location(&location) } else { response })
}

/// Get a reservation
#[utoipa::path(
    get, path = "/v1/reservations/{id}", tag = "reservations", operation_id = "getReservation",
    params(("id" = inline(ReservationIdText), Path)),
    responses((status = 200, description = "The reservation", body = ReservationBody))
)]
pub(super) async fn get(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let id: ReservationId = request.param_as("id")?;
    let seen = request.if_none_match()?;
    let held = api.service.reservation(id).await?;
    let version = version(&held);
    if seen.is_some_and(|seen| seen.has(version)) {
        return Ok(reply::not_modified(version));
    }
    Ok(reply::json(StatusCode::OK, &ReservationBody::from(held))?.with_etag(version))
}

/// A number for the state that a reservation is in, as it has no version of its own: FNV-1a over all that changes.
fn version(held: &Reservation) -> u64 {
    let state = match held.state {
        ReservationState::Held => 0,
        ReservationState::Committed => 1,
        ReservationState::Released => 2,
        ReservationState::Fulfilled => 3,
    };
    let parts =
        [state, held.updated_at.as_millis()].into_iter().chain(held.lines.iter().map(|line| line.quantity));
    parts
        .flat_map(i64::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// List reservations, oldest first
#[utoipa::path(
    get, path = "/v1/reservations", tag = "reservations", operation_id = "listReservations",
    params(ReservationParams),
    responses((status = 200, description = "A page", body = ReservationPage))
)]
pub(super) async fn list(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    let mut params: ReservationParams = request.query()?;
    let query = params.query();
    let page = page(params.limit, params.cursor.take(), |_| true)?;
    let found = api.service.reservations(&query, &page).await?;
    let data = found.data.into_iter().map(ReservationBody::from).collect();
    let body = ReservationPage { data, next_cursor: found.next_cursor };
    Ok(linked(reply::json(StatusCode::OK, &body)?, &request, body.next_cursor.as_ref()))
}

/// Commit a reservation; safe to repeat
#[utoipa::path(
    post, path = "/v1/reservations/{id}/commit", tag = "reservations", operation_id = "commitReservation",
    params(("id" = inline(ReservationIdText), Path)),
    responses((status = 200, description = "Committed, or fulfilled already", body = OutcomeBody))
)]
pub(super) async fn commit(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    settle_one(api, request, SettleAction::Commit, committed).await
}

/// Release a reservation; safe to repeat
///
/// An id that was never seen is recorded as released, so that a late hold is refused.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/release", tag = "reservations", operation_id = "releaseReservation",
    params(("id" = inline(ReservationIdText), Path)),
    responses((status = 200, description = "Released", body = OutcomeBody))
)]
pub(super) async fn release(api: Arc<Api>, request: Request) -> Result<Response, Problem> {
    settle_one(api, request, SettleAction::Release, released).await
}

/// A body that says nothing: none at all, or `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn settle_one(
    api: Arc<Api>,
    mut request: Request,
    action: SettleAction,
    answer: fn(&Vec<SettleOutcome>) -> StoredAnswer,
) -> Result<Response, Problem> {
    request.query::<()>()?;
    let reservation_id: ReservationId = request.param_as("id")?;
    let raw = request.bytes().await?;
    if !raw.is_empty() {
        from_json_slice::<Nothing>(&raw)?;
    }
    let keyed = api.keyed(&request, &raw, answer)?;
    let outcomes = match api.service.settle(&[Settlement { reservation_id, action }], keyed).await? {
        Answered::Fresh(outcomes) => outcomes,
        Answered::Replayed(answer) => return Ok(reply::replayed(&answer)),
    };
    let answer = answer(&outcomes);
    match (answer.status, outcomes.first().and_then(|outcome| outcome.state)) {
        (200, _) => Ok(first(&answer)),
        (_, Some(state)) => Err(ProductError::ReservationReleased(state).into()),
        (_, None) => Err(ProductError::NotFound.into()),
    }
}

#[expect(clippy::ptr_arg, reason = "what `Keyed::answer` is given")]
fn committed(outcomes: &Vec<SettleOutcome>) -> StoredAnswer {
    settled_one(outcomes, ReservationState::Released)
}

#[expect(clippy::ptr_arg, reason = "what `Keyed::answer` is given")]
fn released(outcomes: &Vec<SettleOutcome>) -> StoredAnswer {
    settled_one(outcomes, ReservationState::Fulfilled)
}

/// Only a 200 is kept for a key: what was refused is decided anew.
fn settled_one(outcomes: &[SettleOutcome], refused: ReservationState) -> StoredAnswer {
    let status = match outcomes.first().and_then(|outcome| outcome.state) {
        None => StatusCode::NOT_FOUND,
        Some(state) if state == refused => StatusCode::CONFLICT,
        Some(_) => StatusCode::OK,
    };
    stored(status, None, None, &outcomes.first().map(OutcomeBody::from))
}

/// Settle many reservations
#[utoipa::path(
    post, path = "/v1/reservations/settle", tag = "reservations", operation_id = "settle",
    request_body = SettleBody,
    responses((status = 200, description = "One outcome a settlement", body = OutcomesBody))
)]
pub(super) async fn settle(api: Arc<Api>, mut request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    request.limit_body(SETTLE_BODY);
    let Json { value, raw } = request.json::<SettleBody>().await?;
    let keyed = api.keyed(&request, &raw, settled)?;
    let settlements = value.into_settlements().map_err(ProductError::Invalid)?;
    Ok(match api.service.settle(&settlements, keyed).await? {
        Answered::Fresh(outcomes) => first(&settled(&outcomes)),
        Answered::Replayed(answer) => reply::replayed(&answer),
    })
}

#[expect(clippy::ptr_arg, reason = "what `Keyed::answer` is given")]
fn settled(outcomes: &Vec<SettleOutcome>) -> StoredAnswer {
    let body = OutcomesBody { outcomes: outcomes.iter().map(OutcomeBody::from).collect() };
    stored(StatusCode::OK, None, None, &body)
}
