-- Times are in UTC. Names are compared byte by byte.
-- order_id names an order of the monolith.

CREATE TABLE couriers (
    id         bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    first_name varchar(255) NOT NULL,
    last_name  varchar(255) NOT NULL,
    street     varchar(255) NOT NULL,
    city       varchar(255) NOT NULL,
    zip        varchar(255) NOT NULL,
    available  boolean,
    idle_since datetime(6) NOT NULL,
    KEY couriers_idle (available, idle_since, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE courier_actions (
    id         bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    courier_id bigint NOT NULL,
    order_id   bigint NOT NULL,
    time       datetime(6) NOT NULL,
    type       varchar(32) NOT NULL,
    UNIQUE KEY courier_actions_order (order_id, type),
    KEY courier_actions_courier (courier_id, id),
    CONSTRAINT courier_actions_courier_id_fkey FOREIGN KEY (courier_id) REFERENCES couriers (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What the monolith keeps in orders, where it may be NULL: an order that has a courier has a row here.
CREATE TABLE deliveries (
    order_id       bigint NOT NULL PRIMARY KEY,
    courier_id     bigint,
    picked_up_time datetime(6),
    delivered_time datetime(6),
    KEY deliveries_courier (courier_id),
    CONSTRAINT deliveries_courier_id_fkey FOREIGN KEY (courier_id) REFERENCES couriers (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE courier_requests (
    idempotency_key varchar(200) NOT NULL PRIMARY KEY,
    request         varchar(255) NOT NULL,
    body_hash       varchar(64) NOT NULL,
    status          bigint NOT NULL,
    answer          mediumtext NOT NULL,
    recorded_at     datetime(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
