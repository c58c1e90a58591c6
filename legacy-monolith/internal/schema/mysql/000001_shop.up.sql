-- Money is in cents; times are in UTC. Names are compared byte by byte.

CREATE TABLE consumers (
    id         bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    first_name varchar(255) NOT NULL,
    last_name  varchar(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE restaurants (
    id                  bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name                varchar(255) NOT NULL,
    street              varchar(255) NOT NULL,
    city                varchar(255) NOT NULL,
    zip                 varchar(255) NOT NULL,
    order_minimum_cents bigint NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE restaurant_menu_items (
    id            bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    restaurant_id bigint NOT NULL,
    name          varchar(255) NOT NULL,
    price_cents   bigint NOT NULL,
    KEY restaurant_menu_items_restaurant (restaurant_id),
    CONSTRAINT restaurant_menu_items_restaurant_id_fkey FOREIGN KEY (restaurant_id) REFERENCES restaurants (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

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

CREATE TABLE orders (
    id                    bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    version               bigint NOT NULL,
    consumer_id           bigint NOT NULL,
    restaurant_id         bigint NOT NULL,
    assigned_courier_id   bigint,
    order_state           varchar(32) NOT NULL,
    order_minimum_cents   bigint NOT NULL,
    payment_token         varchar(255),
    delivery_time         datetime(6),
    delivery_street       varchar(255) NOT NULL,
    delivery_city         varchar(255) NOT NULL,
    delivery_zip          varchar(255) NOT NULL,
    ready_by              datetime(6),
    accept_time           datetime(6),
    preparing_time        datetime(6),
    ready_for_pickup_time datetime(6),
    picked_up_time        datetime(6),
    delivered_time        datetime(6),
    KEY orders_consumer (consumer_id, id),
    KEY orders_restaurant (restaurant_id),
    KEY orders_courier (assigned_courier_id),
    CONSTRAINT orders_restaurant_id_fkey FOREIGN KEY (restaurant_id) REFERENCES restaurants (id),
    CONSTRAINT orders_assigned_courier_id_fkey FOREIGN KEY (assigned_courier_id) REFERENCES couriers (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE order_line_items (
    id           bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id     bigint NOT NULL,
    menu_item_id bigint NOT NULL,
    name         varchar(255) NOT NULL,
    price_cents  bigint NOT NULL,
    quantity     bigint NOT NULL,
    KEY order_line_items_order (order_id),
    KEY order_line_items_menu_item (menu_item_id),
    CONSTRAINT order_line_items_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_line_items_menu_item_id_fkey FOREIGN KEY (menu_item_id) REFERENCES restaurant_menu_items (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE courier_actions (
    id         bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    courier_id bigint NOT NULL,
    order_id   bigint NOT NULL,
    time       datetime(6) NOT NULL,
    type       varchar(32) NOT NULL,
    UNIQUE KEY courier_actions_order (order_id, type),
    KEY courier_actions_courier (courier_id, id),
    CONSTRAINT courier_actions_courier_id_fkey FOREIGN KEY (courier_id) REFERENCES couriers (id),
    CONSTRAINT courier_actions_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE courier_requests (
    idempotency_key varchar(200) NOT NULL PRIMARY KEY,
    request         varchar(255) NOT NULL,
    body_hash       varchar(64) NOT NULL,
    status          bigint NOT NULL,
    answer          mediumtext NOT NULL,
    recorded_at     datetime(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE order_requests (
    idempotency_key varchar(200) NOT NULL PRIMARY KEY,
    request         varchar(255) NOT NULL,
    body_hash       varchar(64) NOT NULL,
    status          bigint NOT NULL,
    answer          mediumtext NOT NULL,
    recorded_at     datetime(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
