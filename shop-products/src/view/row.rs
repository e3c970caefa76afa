use crate::{CheckedLine, LineStatus, Product, ProductId, ProductStatus, Sku};

/// A product as the view keeps it, in one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct ViewRow {
    pub(super) id: ProductId,
    pub(super) sku: Sku,
    pub(super) available: i64,
    pub(super) version: u64,
    pub(super) orderable: bool,
    pub(super) deleted: bool,
}

impl ViewRow {
    pub(crate) fn of(product: &Product) -> Self {
        Self {
            id: product.id,
            sku: product.details.sku.clone(),
            available: product.stock.available(),
            version: product.version,
            orderable: product.details.status == ProductStatus::Active,
            deleted: product.deleted_at.is_some(),
        }
    }

    pub(crate) fn id(&self) -> ProductId {
        self.id
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted
    }

    pub(super) fn check(&self, requested: i64) -> CheckedLine {
        let status = match (self.orderable, self.available >= requested) {
            (false, _) => LineStatus::Inactive,
            (true, true) => LineStatus::Ok,
            (true, false) => LineStatus::Insufficient,
        };
        CheckedLine {
            product_id: Some(self.id),
            sku: Some(self.sku.clone()),
            requested,
            available: self.available,
            status,
        }
    }
}

/// What a commit of this service made of a product.
#[derive(Debug)]
pub(crate) struct Written {
    /// The product as the commit left it, if nobody else wrote it meanwhile.
    pub(crate) row: ViewRow,
    /// The version that was decided on; `None` for a new product.
    pub(crate) from: Option<u64>,
}

impl Written {
    /// Whether it was changed: a new product is as it was read when somebody else finds it.
    pub(crate) fn is_change(&self) -> bool {
        self.from.is_some_and(|from| from < self.row.version)
    }
}
