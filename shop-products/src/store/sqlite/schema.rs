use shop_core::sqlite::Schema;

/// Cold rows (`products`) and hot ones (`stock`) apart: a hold writes a few bytes a product. What is deleted is in none of
/// the partial indexes, and has no `live_sku`.
pub(super) const SCHEMA: Schema = Schema { component: "products", migrations: &[V1] };

/// `status`: 0 draft, 1 active, 2 archived. `state`: 0 held, 1 committed, 2 released, 3 fulfilled. `price` is in
/// ten-thousandths of the major unit, for order and range. Times are milliseconds since the Unix epoch.
const V1: &str = "
CREATE TABLE products (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    sku TEXT NOT NULL,
    live_sku TEXT UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    price INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT NOT NULL,
    status INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE INDEX products_by_creation ON products (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_name ON products (name, id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_price ON products (price, id) WHERE deleted_at IS NULL;
CREATE INDEX products_by_update ON products (updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE stock (
    id BLOB PRIMARY KEY,
    on_hand INTEGER NOT NULL,
    allocated INTEGER NOT NULL,
    version INTEGER NOT NULL,
    edited_version INTEGER NOT NULL,
    CHECK (0 <= allocated AND allocated <= on_hand AND on_hand <= 1000000000000)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE product_words USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);
CREATE TABLE product_tags (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX product_tags_by_product ON product_tags (seq);

CREATE TABLE reservations (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    owner TEXT,
    state INTEGER NOT NULL,
    lines TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX reservations_by_creation ON reservations (created_at, id);
CREATE INDEX reservations_held ON reservations (created_at, id) WHERE state = 0;
CREATE INDEX reservations_expiring ON reservations (expires_at) WHERE state = 0 AND expires_at IS NOT NULL;
CREATE INDEX reservations_ended ON reservations (updated_at) WHERE state >= 2;

CREATE TABLE adjustments (
    product BLOB NOT NULL,
    id BLOB NOT NULL,
    delta INTEGER NOT NULL,
    reason TEXT NOT NULL,
    reference TEXT,
    on_hand INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (product, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    location TEXT,
    etag TEXT,
    body TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX records_by_time ON records (at);
";
