use serde::Serialize;
use serde_json::Value;
use shop_core::Problem;
use shop_core::http::{Request, Response, Router, StatusCode, reply};

use crate::{InDoubt, OrderService};

/// The service's figures for `/status`, to be given to [`Admin::figure`](shop_core::http::Admin::figure).
pub fn figures(service: &OrderService) -> impl Fn() -> Value + Send + Sync + 'static + use<> {
    let service = service.clone();
    move || serde_json::to_value(service.figures()).unwrap_or(Value::Null)
}

/// What the admin socket adds for orders, to be given to [`Admin::routes`](shop_core::http::Admin::routes):
/// `GET /doctor` → `{"in_doubt":[{kind, reservation_id, order_id, since, step, next}]}`, everything between orders and products
/// that is not settled, explained. It asks both sides now, so it costs more than the figures.
pub fn operator_routes(service: OrderService) -> Router<OrderService> {
    Router::new(service).get("/doctor", doctor)
}

#[derive(Serialize)]
struct Diagnosis {
    in_doubt: Vec<InDoubt>,
}

async fn doctor(service: OrderService, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    reply::json(StatusCode::OK, &Diagnosis { in_doubt: service.doctor().await? })
}
