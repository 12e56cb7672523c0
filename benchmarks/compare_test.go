package benchmarks_test

import "testing"

// ours is the name of what must keep each promise.
const ours = "evenkeel"

// compare runs a scenario with each library. The scenario returns how the library has broken the
// promise, or nil if it has kept it; whatever else goes wrong in it is fatal. It is nil for ours,
// and not for others, which are no longer others to name if they have mended it.
func compare[L any](t *testing.T, libraries map[string]L, scenario func(*testing.T, L) error) {
	t.Helper()
	for name, library := range libraries {
		t.Run(name, func(t *testing.T) {
			broken := scenario(t, library)
			switch {
			case name == ours && broken != nil:
				t.Errorf("%s breaks its promise: %v", name, broken)
			case name != ours && broken == nil:
				t.Errorf("%s keeps this promise now: take it off the list", name)
			case broken != nil:
				t.Logf("%s: %v", name, broken)
			}
		})
	}
}
