-- Times are RFC 3339 text in UTC with six digits; truth is 0 or 1.
-- order_id names an order of the monolith.

CREATE TABLE couriers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    first_name TEXT NOT NULL,
    last_name  TEXT NOT NULL,
    street     TEXT NOT NULL,
    city       TEXT NOT NULL,
    zip        TEXT NOT NULL,
    available  INTEGER,
    idle_since TEXT NOT NULL
);
CREATE INDEX couriers_idle ON couriers (available, idle_since, id);

CREATE TABLE courier_actions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    courier_id INTEGER NOT NULL REFERENCES couriers (id),
    order_id   INTEGER NOT NULL,
    time       TEXT NOT NULL,
    type       TEXT NOT NULL
);
CREATE UNIQUE INDEX courier_actions_order ON courier_actions (order_id, type);
CREATE INDEX courier_actions_courier ON courier_actions (courier_id, id);

-- What the monolith keeps in orders, where it may be NULL: an order that has a courier has a row here.
CREATE TABLE deliveries (
    order_id       INTEGER PRIMARY KEY NOT NULL,
    courier_id     INTEGER REFERENCES couriers (id),
    picked_up_time TEXT,
    delivered_time TEXT
);
CREATE INDEX deliveries_courier ON deliveries (courier_id);

CREATE TABLE courier_requests (
    idempotency_key TEXT PRIMARY KEY NOT NULL,
    request         TEXT NOT NULL,
    body_hash       TEXT NOT NULL,
    status          INTEGER NOT NULL,
    answer          TEXT NOT NULL,
    recorded_at     TEXT NOT NULL
);
