use std::sync::Arc;

use shop_core::http::{App, Request, Response, Router, StatusCode, reply};
use shop_core::idempotency::{Idempotency, Keyed, StoredAnswer};
use shop_core::{FieldError, Problem};

use super::config::ProductsHttpConfig;
use super::{openapi, products, reservations, stock, transfer};
use crate::{ProductRef, ProductService, validate};

/// What every handler has.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) service: ProductService,
    pub(super) config: ProductsHttpConfig,
}

/// The products service over HTTP, with `/openapi.json` and `/docs`.
///
/// ```no_run
/// # async fn run(service: shop_products::ProductService) -> std::io::Result<()> {
/// use shop_core::http::{CancellationToken, Server};
/// use shop_products::http::{ProductsHttpConfig, app};
///
/// let server = Server::bind(([127, 0, 0, 1], 8082).into(), app(service, ProductsHttpConfig::default())).await?;
/// server.run(CancellationToken::new()).await;
/// # Ok(())
/// # }
/// ```
pub fn app(service: ProductService, config: ProductsHttpConfig) -> App {
    router(service, config).openapi(&openapi::document()).into_app(shop_core::service!("products"))
}

pub(super) fn router(service: ProductService, config: ProductsHttpConfig) -> Router<Arc<Api>> {
    Router::new(Arc::new(Api { service, config }))
        .get("/v1/products", products::list)
        .post("/v1/products", products::create)
        .post("/v1/products/import", transfer::import)
        .get("/v1/products/export", transfer::export)
        .get("/v1/products/{id}", products::get)
        .put("/v1/products/{id}", products::replace)
        .patch("/v1/products/{id}", products::patch)
        .delete("/v1/products/{id}", products::delete)
        .get("/v1/products/{id}/stock", stock::get)
        .get("/v1/products/{id}/stock/adjustments", stock::adjustments)
        .post("/v1/products/{id}/stock/adjustments", stock::adjust)
        .get("/v1/products/{id}/stock/adjustments/{adjustment_id}", stock::adjustment)
        .post("/v1/stock/check", stock::check)
        .get("/v1/reservations", reservations::list)
        .post("/v1/reservations/settle", reservations::settle)
        .get("/v1/reservations/{id}", reservations::get)
        .put("/v1/reservations/{id}", reservations::hold)
        .post("/v1/reservations/{id}/commit", reservations::commit)
        .post("/v1/reservations/{id}/release", reservations::release)
}

impl Api {
    /// The request's key, with how its outcome is answered.
    ///
    /// # Errors
    /// 400 when the key is malformed, or needed and not there.
    pub(super) fn keyed<T>(
        &self,
        request: &Request,
        body: &[u8],
        answer: fn(&T) -> StoredAnswer,
    ) -> Result<Option<Keyed<T>>, Problem> {
        match request.idempotency(body)? {
            Some(idempotency) => Ok(Some(keyed(idempotency, answer))),
            None if self.config.require_idempotency_key => {
                Err(Problem::new(400, "idempotency_key_required", "An Idempotency-Key is needed"))
            }
            None => Ok(None),
        }
    }
}

fn keyed<T>(idempotency: Idempotency, answer: fn(&T) -> StoredAnswer) -> Keyed<T> {
    Keyed { idempotency, answer }
}

/// Which product the path names: an id, or `sku:` and a SKU.
///
/// # Errors
/// 400 `invalid_path`.
pub(super) fn product_ref(request: &Request) -> Result<ProductRef, Problem> {
    let text = request.param("id");
    match text.strip_prefix("sku:") {
        Some(sku) => validate::sku(sku, "/id").map(ProductRef::Sku).map_err(invalid_path),
        None => request.param_as("id").map(ProductRef::Id),
    }
}

fn invalid_path(fault: FieldError) -> Problem {
    Problem::new(400, "invalid_path", "The path is not valid").detail(format!("the SKU {}", fault.detail))
}

/// An answer to be stored, as it is given the first time.
pub(super) fn first(answer: &StoredAnswer) -> Response {
    let mut response = reply::replayed(answer);
    response.headers_mut().remove("idempotency-replayed");
    response
}

/// A stored answer; `body` is plain data.
pub(super) fn stored<T: serde::Serialize>(
    status: StatusCode,
    location: Option<String>,
    version: Option<u64>,
    body: &T,
) -> StoredAnswer {
    StoredAnswer {
        status: status.as_u16(),
        location,
        etag: version.map(|version| format!("\"{version}\"")),
        body: serde_json::to_string(body).expect("wire bodies are plain data"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shop_core::SystemClock;

    use super::*;
    use crate::ProductServiceConfig;
    use crate::store::memory::MemoryProductStore;

    #[tokio::test]
    async fn every_route_is_described_and_nothing_else() {
        let store = Arc::new(MemoryProductStore::new());
        let service = ProductService::start(store, Arc::new(SystemClock), ProductServiceConfig::default());
        let router = router(service, ProductsHttpConfig::default());
        let routes: BTreeSet<_> = router.routes().map(|(method, path)| format!("{method} {path}")).collect();
        let mut described = BTreeSet::new();
        for (path, item) in &openapi::document().paths.paths {
            for (method, operation) in [
                ("GET", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ] {
                if operation.is_some() {
                    described.insert(format!("{method} {path}"));
                }
            }
        }
        assert_eq!(routes, described);
    }
}
