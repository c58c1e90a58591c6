DROP TABLE courier_requests;
DROP TABLE deliveries;
DROP TABLE courier_actions;
DROP TABLE couriers;
