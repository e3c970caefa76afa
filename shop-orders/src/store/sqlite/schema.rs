use shop_core::sqlite::Schema;

/// Ids are 16 bytes, times are milliseconds since the Unix epoch.
pub(super) const SCHEMA: Schema = Schema { component: "orders", migrations: &[V1] };

const V1: &str = "
CREATE TABLE orders (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    status INTEGER NOT NULL,
    placed_at INTEGER NOT NULL,
    customer_id TEXT,
    reference TEXT,
    deleted INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX orders_placed ON orders (placed_at, id) WHERE deleted = 0;
CREATE INDEX orders_status ON orders (status, placed_at, id) WHERE deleted = 0;
CREATE INDEX orders_customer ON orders (customer_id, placed_at, id) WHERE deleted = 0 AND customer_id IS NOT NULL;
CREATE INDEX orders_reference ON orders (reference, placed_at, id) WHERE deleted = 0 AND reference IS NOT NULL;

-- The row that decides. order_id is NULL where the reservation was given up.
CREATE TABLE order_decisions (
    reservation_id BLOB PRIMARY KEY,
    key TEXT,
    attempt INTEGER NOT NULL,
    order_id BLOB,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX order_decisions_placed ON order_decisions (key) WHERE key IS NOT NULL AND order_id IS NOT NULL;
CREATE INDEX order_decisions_expired ON order_decisions (key) WHERE key IS NOT NULL AND order_id IS NULL;
CREATE INDEX order_decisions_old ON order_decisions (at) WHERE order_id IS NULL;

-- The last event of an order has no body: it is the order's. Written once instead of twice, it gets one of its own when
-- the next event comes.
CREATE TABLE order_events (
    sequence INTEGER PRIMARY KEY,
    order_id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT
) STRICT;
CREATE INDEX order_events_order ON order_events (order_id);

CREATE TABLE order_records (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    location TEXT,
    etag TEXT,
    body TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX order_records_old ON order_records (at);

-- AUTOINCREMENT: a late close of a settlement must never meet another one under its number.
CREATE TABLE order_settlements (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    reservation_id BLOB NOT NULL,
    action TEXT NOT NULL,
    at INTEGER NOT NULL,
    claimed_at INTEGER
) STRICT;
";
