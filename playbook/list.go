package playbook

import (
	"fmt"
	"slices"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// entry is a step's place in a list: what it is about, and what makes a fresh one for a worker.
type entry struct {
	Description
	make func() step
}

const kindApprove = "approve"

// asks reports whether the step waits for a person: as strangler.yaml says, or because it is nothing else.
func (e entry) asks(c strangler.Capability) bool {
	return e.Kind == kindApprove || slices.Contains(c.Playbook.Approve, e.Name)
}

// mayApprove refuses an approval by somebody else than those who may, and one of the point of no return without its name. Who asks
// is who they say they are: the admin API's token lets them in, and the ledger keeps the name.
func (e entry) mayApprove(capability string, o RunOptions) error {
	user, _, _ := strings.Cut(o.who(), "@")
	if len(e.Approvers) > 0 && !slices.Contains(e.Approvers, user) && !slices.Contains(e.Approvers, o.who()) {
		return strangler.Refuse("approvers", fmt.Sprintf("%s may not approve step %s of %s; %s may", o.who(), e.Name, capability, strings.Join(e.Approvers, ", ")),
			"one of them approves it: strangler playbook approve "+capability+" "+e.Name)
	}
	if e.Final && o.Confirm != capability {
		return strangler.Refuse("confirmation", fmt.Sprintf("step %s of %s is the point of no return, and is approved by typing the capability's name", e.Name, capability),
			fmt.Sprintf("strangler playbook approve %s %s --confirm %s", capability, e.Name, capability))
	}
	return nil
}

// list is the steps of one capability, in their order.
type list []entry

// Steps describes the steps that every playbook has, in their order. The caller owns the slice.
func Steps() []Description { return order.descriptions() }

// StepsOf describes the steps of a capability, its own among them, in their order. The caller owns the slice.
func StepsOf(c strangler.Capability) []Description { return listOf(c).descriptions() }

// listOf puts a capability's own steps where they say, those of one place in the order of the file.
func listOf(c strangler.Capability) list {
	var l list
	for _, e := range order {
		for _, o := range c.Playbook.Own {
			if o.Before == e.Name {
				l = append(l, own(o))
			}
		}
		l = append(l, e)
		for _, o := range c.Playbook.Own {
			if o.Before == "" && o.After == e.Name {
				l = append(l, own(o))
			}
		}
	}
	return l
}

func (l list) descriptions() []Description {
	out := make([]Description, len(l))
	for i, e := range l {
		e.Commands, e.Approvers = slices.Clone(e.Commands), slices.Clone(e.Approvers)
		out[i] = e.Description
	}
	return out
}

// find returns a step's place.
func (l list) find(name string) (int, bool) {
	i := slices.IndexFunc(l, func(e entry) bool { return e.Name == name })
	return max(i, 0), i >= 0
}

func (l list) names() string {
	names := make([]string, len(l))
	for i, e := range l {
		names[i] = e.Name
	}
	return strings.Join(names, ", ")
}

// before reports whether step a comes before step b; nothing comes before an unknown one.
func (l list) before(a, b string) bool {
	i, _ := l.find(a)
	j, ok := l.find(b)
	return ok && i < j
}
