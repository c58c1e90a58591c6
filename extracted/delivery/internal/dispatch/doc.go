// Package dispatch is the delivery service: couriers, and which of them carries which order.
//
//   - server.go names the routes.
//   - model.go is the tables and the answers made from them.
//   - couriers.go creates couriers, shows them and takes their availability.
//   - deliveries.go gives an order a courier, once, says how far it has come, and takes it back.
//
// The courier routes answer as the monolith's do, byte for byte: the contract in extracted/kit is
// played against both.
package dispatch
