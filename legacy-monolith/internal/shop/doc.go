// Package shop is the monolith: people order food from restaurants, and couriers bring it.
//
//   - server.go names the routes.
//   - consumers.go, restaurants.go and couriers.go create what an order needs, and show it.
//   - orders.go places, revises and lists orders.
//   - accept.go accepts an order, which gives it a courier.
//   - states.go moves an order on, or cancels it.
//   - details.go shows an order with its restaurant and its courier's actions.
//   - views.go is the JSON of the answers.
//
// Every route works on one database, and most on tables that belong to several capabilities.
package shop
