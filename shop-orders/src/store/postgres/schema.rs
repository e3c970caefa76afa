use shop_core::postgres::Schema;

/// Times are milliseconds since the Unix epoch. Texts that are compared are compared by their bytes.
pub(super) const SCHEMA: Schema = Schema { component: "orders", migrations: &[V1] };

/// Functions carry the version that they came with: while instances of two versions run, each calls its own.
const V1: &str = "
CREATE TABLE orders (
    number bigint PRIMARY KEY CHECK (number > 0),
    id uuid NOT NULL UNIQUE,
    version bigint NOT NULL CHECK (version > 0),
    status text COLLATE \"C\" NOT NULL CHECK (status IN ('placed', 'shipped', 'delivered', 'cancelled')),
    placed_at bigint NOT NULL,
    customer_id text COLLATE \"C\",
    reference text COLLATE \"C\",
    deleted boolean NOT NULL,
    body json NOT NULL
);
CREATE INDEX orders_placed ON orders (placed_at, id) WHERE NOT deleted;
CREATE INDEX orders_status ON orders (status, placed_at, id) WHERE NOT deleted;
CREATE INDEX orders_customer ON orders (customer_id, placed_at, id) WHERE NOT deleted AND customer_id IS NOT NULL;
CREATE INDEX orders_reference ON orders (reference, placed_at, id) WHERE NOT deleted AND reference IS NOT NULL;

-- The row that decides. order_id is NULL where the reservation was given up.
CREATE TABLE order_decisions (
    reservation_id uuid PRIMARY KEY,
    key text COLLATE \"C\",
    attempt integer NOT NULL CHECK (attempt > 0),
    order_id uuid,
    at bigint NOT NULL
);
CREATE UNIQUE INDEX order_decisions_placed ON order_decisions (key) WHERE key IS NOT NULL AND order_id IS NOT NULL;
CREATE INDEX order_decisions_expired ON order_decisions (key) WHERE key IS NOT NULL AND order_id IS NULL;
CREATE INDEX order_decisions_old ON order_decisions (at) WHERE order_id IS NULL;

-- The sequence is taken under a lock that ends with the commit: see shop_orders_commit.
CREATE SEQUENCE order_events_sequence;
CREATE TABLE order_events (
    sequence bigint PRIMARY KEY,
    order_id uuid NOT NULL,
    kind text COLLATE \"C\" NOT NULL CHECK (kind ~ '^order[.][a-z]+$'),
    at bigint NOT NULL,
    body json NOT NULL
);
CREATE INDEX order_events_order ON order_events (order_id, sequence);

CREATE TABLE order_records (
    key text COLLATE \"C\" PRIMARY KEY,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    status integer NOT NULL,
    location text,
    etag text,
    body text NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX order_records_old ON order_records (at);

-- An identity is never given twice: a late close of a settlement must never meet another one under its number.
-- Rows come and go, so the dead ones at the head are taken away by their number, not by their share.
CREATE TABLE order_settlements (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reservation_id uuid NOT NULL,
    action json NOT NULL,
    at bigint NOT NULL,
    claimed_at bigint
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The store's clock: what the program says, or else the database's, which is one for all instances.
CREATE FUNCTION shop_orders_now_v1(given bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT coalesce(given, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) $$;

-- All of a change set or nothing, in one round trip: a statement is a transaction of its own.
CREATE FUNCTION shop_orders_commit_v1(
    clock bigint,
    decision_reservations uuid[], decision_keys text[], decision_attempts integer[], decision_orders uuid[],
    decision_times bigint[],
    -- An order that replaces what is there says which version it expects; a new one expects none.
    expected_versions bigint[], order_numbers bigint[], order_ids uuid[], order_versions bigint[],
    order_statuses text[], order_times bigint[], order_customers text[], order_references text[],
    order_deletions boolean[], order_bodies text[],
    -- An event shows an order of this change set, by its place from 1, or has a body of its own.
    event_orders uuid[], event_kinds text[], event_times bigint[], event_places bigint[], event_bodies text[],
    record_keys text[], record_fingerprints bytea[], record_statuses integer[], record_locations text[],
    record_etags text[], record_bodies text[], record_times bigint[],
    settled_reservations uuid[], settled_actions text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    replaced bigint;
BEGIN
    -- Until it ends, no other commit gives sequences, so that a reader never sees an event while a lower one is still
    -- to come. First of all, so that commits cannot wait for each other in a ring either.
    IF cardinality(event_orders) > 0 THEN
        PERFORM pg_advisory_xact_lock(x'73686f70'::integer, 2);
    END IF;
    IF cardinality(decision_reservations) > 0 THEN
        INSERT INTO order_decisions (reservation_id, key, attempt, order_id, at)
            SELECT * FROM unnest(decision_reservations, decision_keys, decision_attempts, decision_orders, decision_times);
    END IF;
    IF cardinality(order_ids) > 0 THEN
        INSERT INTO orders (number, id, version, status, placed_at, customer_id, reference, deleted, body)
            SELECT o.number, o.id, o.version, o.status, o.placed_at, o.customer_id, o.reference, o.deleted, o.body::json
            FROM unnest(expected_versions, order_numbers, order_ids, order_versions, order_statuses, order_times,
                        order_customers, order_references, order_deletions, order_bodies)
                AS o (expected, number, id, version, status, placed_at, customer_id, reference, deleted, body)
            WHERE o.expected IS NULL;
        IF array_length(array_remove(expected_versions, NULL), 1) > 0 THEN
            UPDATE orders SET version = o.version, status = o.status, customer_id = o.customer_id,
                    reference = o.reference, deleted = o.deleted, body = o.body::json
                FROM unnest(expected_versions, order_numbers, order_ids, order_versions, order_statuses,
                            order_customers, order_references, order_deletions, order_bodies)
                    AS o (expected, number, id, version, status, customer_id, reference, deleted, body)
                WHERE orders.id = o.id AND orders.number = o.number AND orders.version = o.expected;
            GET DIAGNOSTICS replaced = ROW_COUNT;
            IF replaced <> array_length(array_remove(expected_versions, NULL), 1) THEN
                RAISE EXCEPTION 'an order has another version' USING ERRCODE = 'SHOP1';
            END IF;
        END IF;
    END IF;
    IF cardinality(event_orders) > 0 THEN
        INSERT INTO order_events (sequence, order_id, kind, at, body)
            SELECT nextval('order_events_sequence'), e.order_id, e.kind, e.at, e.body::json FROM (
                SELECT e.order_id, e.kind, e.at, coalesce(e.body, o.body) AS body
                FROM unnest(event_orders, event_kinds, event_times, event_places, event_bodies) WITH ORDINALITY
                    AS e (order_id, kind, at, place, body, turn)
                LEFT JOIN unnest(order_bodies) WITH ORDINALITY AS o (body, place) ON o.place = e.place
                ORDER BY e.turn
            ) AS e;
    END IF;
    IF cardinality(record_keys) > 0 THEN
        INSERT INTO order_records (key, fingerprint, status, location, etag, body, at)
            SELECT * FROM unnest(record_keys, record_fingerprints, record_statuses, record_locations, record_etags,
                                 record_bodies, record_times);
    END IF;
    IF cardinality(settled_reservations) > 0 THEN
        INSERT INTO order_settlements (reservation_id, action, at)
            SELECT s.reservation_id, s.action::json, shop_orders_now_v1(clock)
            FROM unnest(settled_reservations, settled_actions) WITH ORDINALITY AS s (reservation_id, action, turn)
            ORDER BY s.turn;
    END IF;
END $$;

CREATE FUNCTION shop_orders_purge_v1(records_before bigint, decisions_before bigint, most bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    keys text[];
    decisions bigint;
BEGIN
    WITH gone AS (
        DELETE FROM order_records WHERE key IN
            (SELECT key FROM order_records WHERE at < records_before ORDER BY at LIMIT most) RETURNING key
    ) SELECT coalesce(array_agg(key), '{}') INTO keys FROM gone;
    UPDATE order_decisions SET key = NULL WHERE key = ANY (keys) AND key IS NOT NULL AND order_id IS NOT NULL;
    UPDATE order_decisions SET key = NULL WHERE key = ANY (keys) AND key IS NOT NULL AND order_id IS NULL;
    DELETE FROM order_decisions WHERE reservation_id IN
        (SELECT reservation_id FROM order_decisions WHERE order_id IS NULL AND at < decisions_before
         ORDER BY at LIMIT most);
    GET DIAGNOSTICS decisions = ROW_COUNT;
    RETURN cardinality(keys) + decisions;
END $$;
";
