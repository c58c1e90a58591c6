package demo

import "strings"

const template = `# The configuration of the demo: one capability, delivery, leaves the monolith shop.
# Paths are relative to this file. "strangler check" says everything that is missing.

# Toggles, owners, instances and runs. One file does for one daemon; a fleet shares a server.
control: CONTROL

# Where clients go instead of to the monolith.
proxy:
  listen: PROXY
  # The gate of a cutover holds new writes; past these bounds it answers 503 with Retry-After.
  hold: {requests: 1000, wait: 10s, drain: 2s}

# Where the command line goes. Its token comes from the environment, so this file may be committed.
admin: {listen: ADMIN, token: "${STRANGLER_TOKEN}"}

ABOUT
legacy: {url: "LEGACY", health: /healthz, database: "SHOP"}

capabilities:
  delivery:
    # These leave, in the syntax of Go's http.ServeMux.
    routes:
      - POST /couriers
      - GET /couriers/{id}
      - POST /couriers/{id}/availability
    # These stay in the monolith, and write what leaves. They have a seam: the monolith asks who owns
    # deliveries, and calls the service when the service does.
    touches:
      - {route: "POST /orders/{id}/accept", seam: true}
      - {route: "POST /orders/{id}/pickedup", seam: true}
      - {route: "POST /orders/{id}/delivered", seam: true}
    service: {url: "SERVICE", health: /healthz, database: "DELIVERIES"}
    # courier_requests holds the Idempotency-Keys of the routes above, so a request that is repeated
    # across the cutover is still done once.
    tables:
      - couriers
      - courier_actions
      - courier_requests
      # Of orders that have a courier go the courier and the times of the delivery. The rest stays, and the
      # monolith goes on writing it.
      - from: orders
        to: deliveries
        columns: {id: order_id, assigned_courier_id: courier_id}
        drop: [version, consumer_id, restaurant_id, order_state, order_minimum_cents, payment_token,
          delivery_time, delivery_street, delivery_city, delivery_zip,
          ready_by, accept_time, preparing_time, ready_for_pickup_time]
        where: assigned_courier_id IS NOT NULL
    # A canary sticks to a user. Without "identity" that is a signed cookie of the proxy's own; with a
    # header of yours: identity: {header: X-User-ID}
    shadow: {sample: 20%, methods: [GET]}
    guard: {min_requests: 200, max_error_delta: 1%, max_p99_ratio: 3}
    playbook:
      # Times for a demo. In life the defaults: hold 10m, soak 14d, and a person approves cutover and
      # complete.
      shadow: 3s # what the proxies count is heard about a second later
      canary: [10%, 50%, 100%]
      hold: 1s
      soak: 1s
      approve: []
`

// addresses are where everything of the demo listens.
type addresses struct {
	proxy, admin    string // host:port
	legacy, service string // host:port
}

// yaml is the demo's strangler.yaml.
func yaml(at addresses, data *databases) string {
	return strings.NewReplacer(
		"PROXY", at.proxy, "ADMIN", at.admin,
		"LEGACY", "http://"+at.legacy, "SERVICE", "http://"+at.service,
		"CONTROL", data.control, "SHOP", data.legacy, "DELIVERIES", data.service, "ABOUT", data.about,
	).Replace(template)
}
