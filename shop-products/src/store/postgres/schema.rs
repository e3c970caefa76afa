use shop_core::postgres::Schema;

/// Times are milliseconds since the Unix epoch. Texts that are compared are compared by their bytes, which is the order of
/// their code points. `status`: 0 draft, 1 active, 2 archived. `state`: 0 held, 1 committed, 2 released, 3 fulfilled.
pub(super) const SCHEMA: Schema = Schema { component: "products", migrations: &[V1] };

/// Cold rows (`products`) and hot ones (`product_stock`) apart: a hold writes a few bytes a product, and no index of it.
/// What is deleted has no `live_sku`, and is in none of the indexes of lists.
///
/// Functions carry the version that they came with: while instances of two versions run, each calls its own.
const V1: &str = "
CREATE TABLE products (
    id uuid PRIMARY KEY,
    live_sku text COLLATE \"C\" UNIQUE,
    name text COLLATE \"C\" NOT NULL,
    -- In ten-thousandths of the major unit, for order and range.
    price bigint NOT NULL,
    status smallint NOT NULL CHECK (status BETWEEN 0 AND 2),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    -- A lexeme has 2,046 bytes at most: words are cut, and those that were are in long_words, with blanks between.
    words tsvector NOT NULL,
    long_words text COLLATE \"C\",
    tags text[] COLLATE \"C\" NOT NULL,
    body text NOT NULL
);
CREATE INDEX products_created ON products (created_at, id) WHERE live_sku IS NOT NULL;
CREATE INDEX products_name ON products (name, id) WHERE live_sku IS NOT NULL;
CREATE INDEX products_price ON products (price, id) WHERE live_sku IS NOT NULL;
CREATE INDEX products_updated ON products (updated_at, id) WHERE live_sku IS NOT NULL;
CREATE INDEX products_status ON products (status, created_at, id) WHERE live_sku IS NOT NULL;
-- What is written is in it at once: with a list of what is still to be put in, each search would read through that.
CREATE INDEX products_found ON products USING gin (words, tags) WITH (fastupdate = off) WHERE live_sku IS NOT NULL;

-- Room for new versions of a row on its own page, and the dead ones taken away before there are many: a product that
-- everybody buys is one row, written all the time. sold_out rarely changes, and so its index rarely does.
CREATE TABLE product_stock (
    id uuid PRIMARY KEY,
    on_hand bigint NOT NULL,
    allocated bigint NOT NULL,
    version bigint NOT NULL,
    edited_version bigint NOT NULL,
    sold_out boolean NOT NULL GENERATED ALWAYS AS (on_hand = allocated) STORED,
    CHECK (0 <= allocated AND allocated <= on_hand AND on_hand <= 1000000000000)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX product_stock_sold_out ON product_stock (sold_out, id);

CREATE TABLE reservations (
    id uuid PRIMARY KEY,
    owner text COLLATE \"C\",
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 3),
    lines text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX reservations_created ON reservations (created_at, id);
CREATE INDEX reservations_state ON reservations (state, created_at, id);
CREATE INDEX reservations_owner ON reservations (owner, created_at, id) WHERE owner IS NOT NULL;
CREATE INDEX reservations_expiring ON reservations (expires_at) WHERE state = 0 AND expires_at IS NOT NULL;
CREATE INDEX reservations_ended ON reservations (updated_at) WHERE state >= 2;

CREATE TABLE product_adjustments (
    product uuid NOT NULL,
    id uuid NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (product, id)
);

CREATE TABLE product_records (
    key text COLLATE \"C\" PRIMARY KEY,
    at bigint NOT NULL,
    body text NOT NULL
);
CREATE INDEX product_records_old ON product_records (at);

-- All of a change set or nothing, in one round trip: a statement is a transaction of its own. Whoever writes a product or
-- its stock has the row of its stock locked before, and all such rows in the order of their ids; what else is waited for
-- comes later, in an order of its own. So commits do not wait for each other in a ring, unless edits give products each
-- other's SKUs in opposite order: PostgreSQL ends one of them, and it is decided again.
CREATE FUNCTION shop_products_commit_v1(
    -- A new product expects no version. One whose details stay, as in an adjustment, has no body.
    product_ids uuid[], expected_versions bigint[], product_on_hand bigint[], product_allocated bigint[],
    product_versions bigint[], product_edited_versions bigint[],
    product_skus text[], product_names text[], product_prices bigint[], product_statuses smallint[],
    product_creations bigint[], product_updates bigint[], product_words text[], product_long_words text[],
    product_tags text[], product_bodies text[],
    stock_ids uuid[], stock_on_hand bigint[], stock_allocated bigint[], stock_versions bigint[], stock_expected bigint[],
    reservation_ids uuid[], reservation_owners text[], reservation_states smallint[], reservation_lines text[],
    reservation_creations bigint[], reservation_updates bigint[], reservation_expiries bigint[],
    expected_states smallint[], expected_updates bigint[],
    adjustment_products uuid[], adjustment_ids uuid[], adjustment_bodies text[],
    record_keys text[], record_times bigint[], record_bodies text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    met bigint;
    written text[];
BEGIN
    IF cardinality(product_ids) + cardinality(stock_ids) > 1 THEN
        PERFORM FROM product_stock WHERE id = ANY (product_ids || stock_ids) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    IF cardinality(product_ids) > 0 THEN
        UPDATE product_stock s SET on_hand = p.on_hand, allocated = p.allocated, version = p.version,
                edited_version = p.edited_version
            FROM unnest(product_ids, expected_versions, product_on_hand, product_allocated, product_versions,
                        product_edited_versions)
                AS p (id, expected, on_hand, allocated, version, edited_version)
            WHERE s.id = p.id AND s.version = p.expected;
        GET DIAGNOSTICS met = ROW_COUNT;
        IF met <> cardinality(array_remove(expected_versions, NULL)) THEN
            RAISE EXCEPTION 'a product has another version' USING ERRCODE = 'SHOP1';
        END IF;
        -- Products of one commit may swap their SKUs: those that change are given up first.
        UPDATE products SET live_sku = NULL
            FROM unnest(product_ids, expected_versions, product_skus, product_bodies) AS p (id, expected, sku, body)
            WHERE products.id = p.id AND p.expected IS NOT NULL AND p.body IS NOT NULL
                AND products.live_sku IS DISTINCT FROM p.sku;
        UPDATE products SET live_sku = p.sku, name = p.name, price = p.price, status = p.status,
                created_at = p.created_at, updated_at = p.updated_at,
                words = array_to_tsvector(string_to_array(p.words, ' ')), long_words = p.long_words,
                tags = ARRAY(SELECT json_array_elements_text(p.tags::json)), body = p.body
            FROM unnest(product_ids, expected_versions, product_skus, product_names, product_prices, product_statuses,
                        product_creations, product_updates, product_words, product_long_words, product_tags,
                        product_bodies)
                AS p (id, expected, sku, name, price, status, created_at, updated_at, words, long_words, tags, body)
            WHERE products.id = p.id AND p.expected IS NOT NULL AND p.body IS NOT NULL;
        INSERT INTO products (id, live_sku, name, price, status, created_at, updated_at, words, long_words, tags, body)
            SELECT p.id, p.sku, p.name, p.price, p.status, p.created_at, p.updated_at,
                array_to_tsvector(string_to_array(p.words, ' ')), p.long_words,
                ARRAY(SELECT json_array_elements_text(p.tags::json)), p.body
            FROM unnest(product_ids, expected_versions, product_skus, product_names, product_prices, product_statuses,
                        product_creations, product_updates, product_words, product_long_words, product_tags,
                        product_bodies)
                AS p (id, expected, sku, name, price, status, created_at, updated_at, words, long_words, tags, body)
            WHERE p.expected IS NULL ORDER BY p.sku COLLATE \"C\", p.id;
        INSERT INTO product_stock (id, on_hand, allocated, version, edited_version)
            SELECT p.id, p.on_hand, p.allocated, p.version, p.edited_version
            FROM unnest(product_ids, expected_versions, product_on_hand, product_allocated, product_versions,
                        product_edited_versions)
                AS p (id, expected, on_hand, allocated, version, edited_version)
            WHERE p.expected IS NULL;
    END IF;
    IF cardinality(stock_ids) > 0 THEN
        WITH changed AS (
            UPDATE product_stock s SET on_hand = s.on_hand + c.on_hand, allocated = s.allocated + c.allocated,
                    version = s.version + c.versions
                FROM unnest(stock_ids, stock_on_hand, stock_allocated, stock_versions, stock_expected)
                    AS c (id, on_hand, allocated, versions, expected)
                WHERE s.id = c.id AND (c.expected IS NULL OR s.edited_version = c.expected)
                RETURNING s.id || '/' || s.version AS written
        ) SELECT array_agg(changed.written) INTO written FROM changed;
        IF coalesce(cardinality(written), 0) <> cardinality(stock_ids) THEN
            RAISE EXCEPTION 'a product has other details' USING ERRCODE = 'SHOP1';
        END IF;
    END IF;
    IF cardinality(reservation_ids) > 0 THEN
        INSERT INTO reservations (id, owner, state, lines, created_at, updated_at, expires_at)
            SELECT r.id, r.owner, r.state, r.lines, r.created_at, r.updated_at, r.expires_at
            FROM unnest(reservation_ids, reservation_owners, reservation_states, reservation_lines,
                        reservation_creations, reservation_updates, reservation_expiries, expected_states)
                AS r (id, owner, state, lines, created_at, updated_at, expires_at, expected)
            WHERE r.expected IS NULL ORDER BY r.id;
        IF cardinality(array_remove(expected_states, NULL)) > 0 THEN
            PERFORM FROM reservations WHERE id = ANY (reservation_ids) ORDER BY id FOR NO KEY UPDATE;
            UPDATE reservations SET owner = r.owner, state = r.state, lines = r.lines, created_at = r.created_at,
                    updated_at = r.updated_at, expires_at = r.expires_at
                FROM unnest(reservation_ids, reservation_owners, reservation_states, reservation_lines,
                            reservation_creations, reservation_updates, reservation_expiries, expected_states,
                            expected_updates)
                    AS r (id, owner, state, lines, created_at, updated_at, expires_at, expected, expected_at)
                WHERE reservations.id = r.id AND reservations.state = r.expected
                    AND reservations.updated_at = r.expected_at;
            GET DIAGNOSTICS met = ROW_COUNT;
            IF met <> cardinality(array_remove(expected_states, NULL)) THEN
                RAISE EXCEPTION 'a reservation has another state' USING ERRCODE = 'SHOP1';
            END IF;
        END IF;
    END IF;
    IF cardinality(adjustment_ids) > 0 THEN
        INSERT INTO product_adjustments (product, id, body)
            SELECT * FROM unnest(adjustment_products, adjustment_ids, adjustment_bodies);
    END IF;
    IF cardinality(record_keys) > 0 THEN
        INSERT INTO product_records (key, at, body)
            SELECT r.key, r.at, r.body FROM unnest(record_keys, record_times, record_bodies) AS r (key, at, body)
            ORDER BY r.key COLLATE \"C\";
    END IF;
    -- Heard when this is committed, and only then. A payload has less than 8,000 bytes: 57 a product.
    PERFORM pg_notify('shop_products', string_agg(w.written, ',')) FROM (
            SELECT w.written, (row_number() OVER () - 1) / 130 AS part FROM (
                SELECT p.id || '/' || p.version AS written FROM unnest(product_ids, product_versions) AS p (id, version)
                UNION ALL SELECT unnest(written)
            ) AS w
        ) AS w GROUP BY w.part;
END $$;

-- What a commit has locked is left for the next time.
CREATE FUNCTION shop_products_purge_v1(ended_before bigint, most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    records bigint;
    ended bigint;
BEGIN
    DELETE FROM product_records WHERE key IN
        (SELECT key FROM product_records WHERE at < ended_before ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS records = ROW_COUNT;
    DELETE FROM reservations WHERE id IN
        (SELECT id FROM reservations WHERE state >= 2 AND updated_at < ended_before ORDER BY updated_at LIMIT most
         FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN records + ended;
END $$;
";
