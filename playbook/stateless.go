package playbook

import strangler "github.com/strangler-fig/strangler"

const toLegacyByHand = `strangler toggle set CAP legacy --why "…"`

// withoutTables are the words for steps that are about less where a capability has no tables.
var withoutTables = map[string]Description{
	Canary: {
		Does:    "Lets the service answer a growing share of users, each share held for a while. Every request of theirs moves, writes too.",
		Changes: "The toggle: canary, percentage by percentage.",
		Undo:    "The toggle goes to legacy.",
		Back: "`playbook rollback CAP` sets the toggle to legacy on every instance. What the service has stored of its own stays there. " +
			"In a hurry, `toggle set CAP legacy --why \"…\"` does the same at once, and the run fails and says so.",
		ByHand: []string{
			"At each percentage: errors and p99 of the service beside the monolith's, what support hears, a figure of the business (orders an hour).",
			"`toggle get CAP` names no instance that is behind.",
		},
		Commands: []string{`strangler toggle set CAP canary --percent 10 --why "…"`, "strangler toggle history CAP", toLegacyByHand},
	},
	Cutover: {
		Does:    "Sends every request to the service.",
		Changes: "The toggle: extracted.",
		Undo:    "The toggle goes to legacy.",
		Back:    "`playbook rollback CAP` sets the toggle to legacy on every instance. What the service has stored of its own stays there.",
		ByHand: []string{
			"Before approving: somebody who knows both systems is there, and nobody deploys either.",
			"Afterwards, through the proxy: use each route once, and look into the service's log.",
		},
		Commands: []string{`strangler toggle set CAP extracted --why "…"`, toLegacyByHand},
	},
	Soak: {
		Does:    "Waits while the service answers everything and it can still be taken back.",
		Changes: "Nothing; it waits.",
		Undo:    "There is nothing to undo.",
		Back:    "`playbook rollback CAP` sets the toggle to legacy on every instance. What the service has stored of its own stays there.",
		ByHand: []string{
			"Errors and latency of the service stay what they were.",
			"Nightly jobs, reports and the end of the month have run at least once.",
		},
		Commands: []string{"strangler toggle get CAP", "strangler playbook rollback CAP"},
	},
	Complete: {
		Does:    "Records that the capability has moved.",
		Changes: "The ledger only: there are no tables to remove.",
		Undo:    "The run cannot be taken back any more.",
		Back:    "No rollback any more. Nothing was removed, so `toggle set CAP legacy --why \"…\"` sends requests to the monolith for as long as that can still serve them.",
		ByHand: []string{
			"Nobody needs the monolith's part of it any more: once its code is gone, so is the way back.",
		},
		Commands: []string{"strangler toggle get CAP"},
	},
}

// worded is a step's description as it fits a capability.
func worded(d Description, c strangler.Capability) Description {
	if w, is := withoutTables[d.Name]; is && c.Stateless() {
		d.Does, d.Changes, d.Undo, d.Back, d.ByHand, d.Commands = w.Does, w.Changes, w.Undo, w.Back, w.ByHand, w.Commands
	}
	return named(d, c.Name)
}
