-- Times are RFC 3339 text in UTC with six digits; money is in cents; truth is 0 or 1.

CREATE TABLE consumers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    first_name TEXT NOT NULL,
    last_name  TEXT NOT NULL
);

CREATE TABLE restaurants (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name                TEXT NOT NULL,
    street              TEXT NOT NULL,
    city                TEXT NOT NULL,
    zip                 TEXT NOT NULL,
    order_minimum_cents INTEGER NOT NULL
);

CREATE TABLE restaurant_menu_items (
    id            INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    restaurant_id INTEGER NOT NULL REFERENCES restaurants (id),
    name          TEXT NOT NULL,
    price_cents   INTEGER NOT NULL
);
CREATE INDEX restaurant_menu_items_restaurant ON restaurant_menu_items (restaurant_id);

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

CREATE TABLE orders (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    version               INTEGER NOT NULL,
    consumer_id           INTEGER NOT NULL,
    restaurant_id         INTEGER NOT NULL REFERENCES restaurants (id),
    assigned_courier_id   INTEGER REFERENCES couriers (id),
    order_state           TEXT NOT NULL,
    order_minimum_cents   INTEGER NOT NULL,
    payment_token         TEXT,
    delivery_time         TEXT,
    delivery_street       TEXT NOT NULL,
    delivery_city         TEXT NOT NULL,
    delivery_zip          TEXT NOT NULL,
    ready_by              TEXT,
    accept_time           TEXT,
    preparing_time        TEXT,
    ready_for_pickup_time TEXT,
    picked_up_time        TEXT,
    delivered_time        TEXT
);
CREATE INDEX orders_consumer ON orders (consumer_id, id);
CREATE INDEX orders_restaurant ON orders (restaurant_id);
CREATE INDEX orders_courier ON orders (assigned_courier_id);

CREATE TABLE order_line_items (
    id           INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    order_id     INTEGER NOT NULL REFERENCES orders (id),
    menu_item_id INTEGER NOT NULL REFERENCES restaurant_menu_items (id),
    name         TEXT NOT NULL,
    price_cents  INTEGER NOT NULL,
    quantity     INTEGER NOT NULL
);
CREATE INDEX order_line_items_order ON order_line_items (order_id);
CREATE INDEX order_line_items_menu_item ON order_line_items (menu_item_id);

CREATE TABLE courier_actions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    courier_id INTEGER NOT NULL REFERENCES couriers (id),
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    time       TEXT NOT NULL,
    type       TEXT NOT NULL
);
CREATE UNIQUE INDEX courier_actions_order ON courier_actions (order_id, type);
CREATE INDEX courier_actions_courier ON courier_actions (courier_id, id);

CREATE TABLE courier_requests (
    idempotency_key TEXT PRIMARY KEY NOT NULL,
    request         TEXT NOT NULL,
    body_hash       TEXT NOT NULL,
    status          INTEGER NOT NULL,
    answer          TEXT NOT NULL,
    recorded_at     TEXT NOT NULL
);

CREATE TABLE order_requests (
    idempotency_key TEXT PRIMARY KEY NOT NULL,
    request         TEXT NOT NULL,
    body_hash       TEXT NOT NULL,
    status          INTEGER NOT NULL,
    answer          TEXT NOT NULL,
    recorded_at     TEXT NOT NULL
);
