/// How the HTTP API treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProductsHttpConfig {
    /// PUT, PATCH and DELETE of a product need `If-Match`; without it they are refused with 428. Default no.
    pub require_if_match: bool,
    /// POSTs that create or act need `Idempotency-Key`; without it they are refused with 400. Default no.
    pub require_idempotency_key: bool,
    /// The most bytes of one row of an import; a longer one is refused and skipped. Default 1 MiB.
    pub max_import_row: usize,
    /// The most rows of an import that are written in one step. Default 500.
    pub import_batch: usize,
}

impl Default for ProductsHttpConfig {
    fn default() -> Self {
        Self {
            require_if_match: false,
            require_idempotency_key: false,
            max_import_row: 1 << 20,
            import_batch: 500,
        }
    }
}
