DROP TABLE courier_requests;
DROP TABLE courier_actions;
DROP TABLE couriers;
