use serde::{Deserialize, Serialize};
use serde_json::Value;
use shop_core::http::{Request, Response, Router, StatusCode, page_request, reply};
use shop_core::{Cursor, Limit, Problem};

use crate::{InDoubt, OrderService, Reconcile};

/// The service's figures for `/status`, to be given to [`Admin::figure`](shop_core::http::Admin::figure).
pub fn figures(service: &OrderService) -> impl Fn() -> Value + Send + Sync + 'static + use<> {
    let service = service.clone();
    move || serde_json::to_value(service.figures()).unwrap_or(Value::Null)
}

/// What the admin socket adds for orders, to be given to [`Admin::routes`](shop_core::http::Admin::routes):
/// - `GET /doctor` → `{"in_doubt":[{kind, reservation_id, order_id, since, step, next}]}`, everything between orders and
///   products that is not settled, explained. It asks both sides now, so it costs more than the figures.
/// - `GET /reconcile?limit=&cursor=` → a [`ReconcilePage`](crate::ReconcilePage): where orders and products differ.
///   `POST` mends it too; see [`OrderService::reconcile`].
pub fn operator_routes(service: OrderService) -> Router<OrderService> {
    Router::new(service).get("/doctor", doctor).get("/reconcile", compare).post("/reconcile", mend)
}

#[derive(Serialize)]
struct Diagnosis {
    in_doubt: Vec<InDoubt>,
}

async fn doctor(service: OrderService, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    reply::json(StatusCode::OK, &Diagnosis { in_doubt: service.doctor().await? })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    limit: Option<Limit>,
    cursor: Option<Cursor>,
}

async fn compare(service: OrderService, request: Request) -> Result<Response, Problem> {
    reconcile(service, request, false).await
}

async fn mend(service: OrderService, request: Request) -> Result<Response, Problem> {
    reconcile(service, request, true).await
}

async fn reconcile(service: OrderService, request: Request, apply: bool) -> Result<Response, Problem> {
    let part: Part = request.query()?;
    let page = page_request(part.limit, part.cursor.as_ref())?;
    let how = Reconcile { apply, ..Reconcile::default() };
    reply::json(StatusCode::OK, &service.reconcile(how, page).await?)
}
