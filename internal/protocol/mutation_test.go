package protocol

import (
	"strings"
	"testing"
)

// Orders of steps that CUTOVER.md forbids.
var (
	releaseFirst = []point{release, announce, open, draw, raiseOwner, raiseFollower, reread, begin, stream}
	termsFirst   = []point{draw, raiseOwner, raiseFollower, open, release, announce, reread, begin, stream}
	rereadFirst  = []point{open, release, announce, reread, draw, raiseOwner, raiseFollower, begin, stream}
	neverReread  = []point{open, release, announce, draw, raiseOwner, raiseFollower, begin, stream}
	raiseOneTerm = []point{open, release, announce, draw, raiseFollower, reread, begin, stream}

	fenceFirst = []point{
		fence, gate, stream, drawFreeze, freeze, confirm, readSequence, setSequence, readMark, decide,
	}
	positionFirst = []point{
		gate, stream, fence, drawFreeze, freeze, confirm, readSequence, setSequence, readMark, decide,
	}
	sequenceFirst = []point{
		gate, readSequence, fence, stream, drawFreeze, freeze, confirm, setSequence, readMark, decide,
	}
	neverFrozen    = []point{gate, fence, stream, confirm, readSequence, setSequence, readMark, decide}
	neverConfirmed = []point{gate, fence, stream, drawFreeze, freeze, readSequence, setSequence, readMark, decide}
	confirmedFirst = []point{
		gate, fence, stream, confirm, drawFreeze, freeze, readSequence, setSequence, readMark, decide,
	}
)

// TestMutations takes one rule at a time out of the model and asks the search to find what it prevents.
func TestMutations(t *testing.T) {
	short := bounds{writes: 1, budget: budget{cutovers: 2, faults: 2}}
	long := bounds{writes: 1, budget: budget{cutovers: 3, faults: 1}}
	patient := bounds{writes: 1, budget: budget{cutovers: 3, faults: 2}}
	rows := bounds{writes: 2, budget: budget{cutovers: 2, faults: 2}}
	decoding := bounds{writes: 2, decoding: true, budget: budget{cutovers: 1, faults: 1}}
	quiet := bounds{budget: budget{cutovers: 1, faults: 1}}
	gates := bounds{proxy: true, budget: budget{cutovers: 1, toggles: 1, faults: 2}}

	const (
		fork    = "fork: "
		lost    = "lost: "
		onWay   = "lost on the way: "
		refused = "refused: "
		stuck   = "stuck: "
	)
	for _, c := range []struct {
		name   string
		rule   string // of CUTOVER.md, that the mutation breaks
		want   string
		bounds bounds
		rules  rules
	}{
		{"NoEpochGuard", "2: UPDATE ... AND epoch < :new", fork, short, rules{noEpochGuard: true}},
		{"DoneIsOvertaken", "2: if all is already what was wanted, it is done", stuck, quiet, rules{doneIsOvertaken: true}},

		{"NoTermCheckInBatch", "3: every transaction checks its term", lost, rows, rules{noBatchTerm: true}},
		{"NoTermCheckInCopy", "3: every transaction checks its term", fork, long, rules{noSequenceTerm: true}},
		{"NoClosedCheck", "3: ... and that the state is closed", fork, short, rules{noClosedCheck: true}},
		{"NoSerialCheck", "5: a serial advanced by compare-and-swap", onWay, rows, rules{noSerialCheck: true}},
		{"BeginAgain", "4.7: stream from R, and only forward", lost, decoding, rules{beginAgain: true}},

		{"ToggleWhilePreparing", "4.1, 4.6: no epoch is used up while preparing", stuck, gates,
			rules{toggleWhilePreparing: true, decideByEpoch: true}},
		{"PrepareAnyRow", "4.1: by compare-and-swap on the row that was read again", fork, patient,
			rules{prepareAnyRow: true}},
		{"DecideAnyCutover", "4.6: one row per cutover", fork, short, rules{decideAnyCutover: true}},
		{"OpenOnPreparing", "4.6: read back as preparing is no answer", fork, short, rules{openOnPreparing: true}},
		{"TakeoverOpensUnsettled", "4, taking over: settle the row first", fork, short, rules{takeoverOpens: true}},
		{"KeepFoundOpen", "4, taking over: even if found open", refused, gates, rules{keepFoundOpen: true}},
		{"DeafWorker", "4, taking over: read the row while waiting", stuck, quiet, rules{deaf: true}},

		{"FenceBeforeGate", "4.2: gate, then fence", refused, gates, rules{cutover: fenceFirst}},
		{"PositionBeforeFence", "4.4: never before the drain", lost, short, rules{cutover: positionFirst}},
		{"PositionBeforeFenceDecoding", "4.4: never before the drain", lost, decoding, rules{cutover: positionFirst}},
		{"SequenceBeforeFence", "4.5: behind the fence", fork, short, rules{cutover: sequenceFirst}},
		{"NeverFrozen", "4.5: freeze the stream", fork, short, rules{cutover: neverFrozen}},
		{"FrozenButNotReadAgain", "4.5, 4.7: raise, then read the row", fork, long, rules{cutover: neverConfirmed}},
		{"ReadAgainThenFrozen", "4.5, 4.7: raise, then read the row", fork, long, rules{cutover: confirmedFirst}},

		{"TermsBeforeOpen", "4: an abort needs nothing of the target", stuck, quiet, rules{tail: termsFirst}},
		{"RaiseOneTerm", "4.7: raise both terms", fork, long, rules{tail: raiseOneTerm}},
		{"StreamWithoutReadingAgain", "4.7: read the row again", fork, long, rules{tail: neverReread}},
		{"ReadAgainThenRaise", "4.7: raise, read again, only then stream", fork, long, rules{tail: rereadFirst}},

		{"ReleaseBeforeOpen", "4.7: open; release", refused, gates, rules{tail: releaseFirst}},
		{"ReleaseOnTimer", "4.8: never by an instance's own timer", refused, gates, rules{releaseOnTimer: true}},
		{"StartReadsBeforeRegistering", "4.1: registers first, then reads", refused, gates, rules{startReadsFirst: true}},
		{"StartTrustsDecided", "4.8: only by a release", refused, gates, rules{startTrustsDecided: true}},
		{"ToggleHidesRelease", "4.8: the epoch of the gate is its own", stuck, gates, rules{oneEpochRegister: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := run(c.rules, c.bounds)
			if !strings.HasPrefix(found.wrong, c.want) || found.wrong == "" {
				t.Fatalf("without rule %q found %q in %d states, want %q", c.rule, found.wrong, found.states, c.want)
			}
			t.Logf("without rule %q: %s; %d steps, %d states\n%s", c.rule, found.wrong, found.steps, found.states, found.trace)
		})
	}
}
