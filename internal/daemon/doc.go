// Package daemon is `strangler serve`: it joins the proxy, the splits, the playbook, the control store
// and the admin API in one process, and is the only place that knows them all.
//
//   - daemon.go puts it together, starts it and ends it; its Start is the order in which that is safe.
//   - fleet.go keeps the proxies of all instances at the control store's toggles, and says when they are.
//   - tally.go sums up what the proxies of all instances have counted, which is the playbook's evidence.
//   - leases.go has a capability's runs worked on where its split is.
//   - ports.go fits the pieces to each other's interfaces.
//   - health.go probes upstreams and answers readiness.
//   - webhooks.go has the playbook's events told to webhooks, and looks whether their hosts can be reached.
//   - metrics.go shows the splits to Prometheus.
//   - check.go is `strangler check`: what can be known before anything runs; identity.go is what it asks of who is who.
package daemon
