//! A commit is one statement: an `INSERT` into a view, whose trigger writes all parts and checks every expectation.
//!
//! One statement is a transaction of its own, so there is nothing to be left open, and one hop to the connection's thread.
//! Each part comes as one JSON array of rows, or `NULL`; `…_rows` is how many rows it must change.

/// What the writer runs when it is opened. `hot_commit` is what holds and settlements need; `commits` is everything, and
/// costs a little more since it can write the words.
pub(super) const SESSION: &str = "
CREATE TEMP VIEW hot_commit AS SELECT
    NULL AS stock, NULL AS stock_rows, NULL AS new_reservations, NULL AS reservations, NULL AS reservation_rows,
    NULL AS records;

CREATE TEMP TRIGGER write_hot_commit INSTEAD OF INSERT ON hot_commit BEGIN
    UPDATE stock SET on_hand = stock.on_hand + j.on_hand, allocated = stock.allocated + j.allocated,
        version = stock.version + j.versions
        FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS on_hand, value ->> 2 AS allocated,
            value ->> 3 AS versions, value ->> 4 AS expected FROM jsonb_each(NEW.stock)) AS j
        WHERE stock.id = j.id AND (j.expected IS NULL OR stock.edited_version = j.expected);
    SELECT RAISE(ABORT, 'stock') WHERE changes() <> NEW.stock_rows;

    INSERT INTO reservations (id, owner, state, lines, created_at, updated_at, expires_at)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
        FROM jsonb_each(NEW.new_reservations);

    -- Its owner and when it was made never change, and what is not set costs no index.
    UPDATE reservations SET state = j.state, lines = coalesce(j.lines, reservations.lines),
        updated_at = j.updated_at, expires_at = j.expires_at
        FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS state, value ->> 2 AS lines, value ->> 3 AS updated_at,
            value ->> 4 AS expires_at, value ->> 5 AS expected_state, value ->> 6 AS expected_at
            FROM jsonb_each(NEW.reservations)) AS j
        WHERE reservations.id = j.id AND reservations.state = j.expected_state
            AND reservations.updated_at = j.expected_at;
    SELECT RAISE(ABORT, 'reservations') WHERE changes() <> NEW.reservation_rows;

    INSERT INTO records (key, fingerprint, status, location, etag, body, at)
        SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
        FROM jsonb_each(NEW.records);
END;

CREATE TEMP VIEW commits AS SELECT
    NULL AS edited_stock, NULL AS edited_stock_rows, NULL AS edited, NULL AS edited_rows, NULL AS forgotten,
    NULL AS created, NULL AS created_stock, NULL AS words, NULL AS tagged, NULL AS adjustments,
    NULL AS stock, NULL AS stock_rows, NULL AS new_reservations, NULL AS reservations, NULL AS reservation_rows,
    NULL AS records;

CREATE TEMP TRIGGER write_commits INSTEAD OF INSERT ON commits BEGIN
    UPDATE stock SET on_hand = j.on_hand, allocated = j.allocated, version = j.version,
        edited_version = j.edited_version
        FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS on_hand, value ->> 2 AS allocated,
            value ->> 3 AS version, value ->> 4 AS edited_version, value ->> 5 AS expected
            FROM jsonb_each(NEW.edited_stock)) AS j
        WHERE stock.id = j.id AND stock.version = j.expected;
    SELECT RAISE(ABORT, 'edited stock') WHERE changes() <> NEW.edited_stock_rows;

    -- Products of one commit may swap their SKUs: those that change are given up first.
    UPDATE products SET live_sku = NULL
        FROM (SELECT unhex(value ->> 0) AS id, value ->> 2 AS live_sku FROM jsonb_each(NEW.edited)) AS j
        WHERE products.id = j.id AND products.live_sku IS NOT j.live_sku;
    UPDATE products SET sku = j.sku, live_sku = j.live_sku, name = j.name, description = j.description,
        minor = j.minor, currency = j.currency, price = j.price, attributes = j.attributes, tags = j.tags,
        status = j.status, created_at = j.created_at, updated_at = j.updated_at, deleted_at = j.deleted_at
        FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS sku, value ->> 2 AS live_sku, value ->> 3 AS name,
            value ->> 4 AS description, value ->> 5 AS minor, value ->> 6 AS currency, value ->> 7 AS price,
            value ->> 8 AS attributes, value ->> 9 AS tags, value ->> 10 AS status, value ->> 11 AS created_at,
            value ->> 12 AS updated_at, value ->> 13 AS deleted_at FROM jsonb_each(NEW.edited)) AS j
        WHERE products.id = j.id;
    SELECT RAISE(ABORT, 'edited') WHERE changes() <> NEW.edited_rows;
    DELETE FROM product_words WHERE rowid IN
        (SELECT p.seq FROM jsonb_each(NEW.forgotten) j CROSS JOIN products p ON p.id = unhex(j.value));
    DELETE FROM product_tags WHERE seq IN
        (SELECT p.seq FROM jsonb_each(NEW.forgotten) j CROSS JOIN products p ON p.id = unhex(j.value));

    INSERT INTO products (id, sku, live_sku, name, description, minor, currency, price, attributes, tags, status,
        created_at, updated_at, deleted_at)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
            value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13
        FROM jsonb_each(NEW.created);
    INSERT INTO stock (id, on_hand, allocated, version, edited_version)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4
        FROM jsonb_each(NEW.created_stock);
    INSERT INTO product_words (rowid, words)
        SELECT p.seq, j.value ->> 1
        FROM jsonb_each(NEW.words) j CROSS JOIN products p ON p.id = unhex(j.value ->> 0);
    INSERT INTO product_tags (tag, seq)
        SELECT DISTINCT t.value, p.seq
        FROM jsonb_each(NEW.tagged) j CROSS JOIN products p ON p.id = unhex(j.value)
        CROSS JOIN json_each(p.tags) t;

    INSERT INTO adjustments (product, id, delta, reason, reference, on_hand, created_at)
        SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
        FROM jsonb_each(NEW.adjustments);

    INSERT INTO hot_commit
        VALUES (NEW.stock, NEW.stock_rows, NEW.new_reservations, NEW.reservations, NEW.reservation_rows, NEW.records);
END;
";
