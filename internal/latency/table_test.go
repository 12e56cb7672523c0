package latency_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"weak"

	"github.com/evenkeel-go/evenkeel/internal/latency"
)

func TestCallsAreObservedByNameAndKey(t *testing.T) {
	var table latency.Table
	kinds := [][2]string{{"users.get", "berlin"}, {"users.get", "lisbon"}, {"users", ".getberlin"}, {"berlin", "users.get"}, {"", ""}}
	seen := make(map[*latency.Observed]bool)
	for _, kind := range kinds {
		l := table.Of(kind[0], kind[1])
		if seen[l] {
			t.Errorf("Of(%q) is what others have", kind)
		}
		seen[l] = true
		if table.Of(kind[0], kind[1]) != l {
			t.Errorf("Of(%q) is another one the second time", kind)
		}
	}
}

// crowd asks for n new kinds of calls.
func crowd(table *latency.Table, name string, n int) {
	for i := range n {
		table.Of(name, fmt.Sprint(i))
	}
}

func TestOnlyWhatIsNotUsedIsForgotten(t *testing.T) {
	var table latency.Table
	used, unused := table.Of("get", "used"), table.Of("get", "unused")
	for i := range 10 {
		crowd(&table, fmt.Sprint("crowd", i), 512)
		if table.Of("get", "used") != used {
			t.Fatal("what is used was forgotten")
		}
	}
	if table.Of("get", "unused") == unused {
		t.Error("what is not used was not forgotten")
	}
}

func TestTheTableIsBounded(t *testing.T) {
	var table latency.Table
	var all []weak.Pointer[latency.Observed]
	for i := range 10_000 {
		all = append(all, weak.Make(table.Of("get", fmt.Sprint(i))))
	}
	runtime.GC()
	n := 0
	for _, p := range all {
		if p.Value() != nil {
			n++
		}
	}
	if n > 2048 {
		t.Errorf("the table holds %d of 10,000 kinds, want at most 2048", n)
	}
	runtime.KeepAlive(&table)
}

func TestCallersThatComeAtOnceShareWhatIsObserved(t *testing.T) {
	const tables, kinds = 20, 500
	for range tables {
		var table latency.Table
		var got [2][kinds]*latency.Observed
		var wg sync.WaitGroup
		for worker := range got {
			wg.Go(func() {
				for i := range kinds {
					got[worker][i] = table.Of("get", strconv.Itoa(i))
				}
			})
		}
		wg.Wait()
		if got[0] != got[1] {
			t.Fatal("two callers observe the same calls apart")
		}
	}
}

func TestOfAllocatesNothing(t *testing.T) {
	var table latency.Table
	table.Of("get", "berlin")
	if got := testing.AllocsPerRun(1000, func() { table.Of("get", "berlin") }); got != 0 {
		t.Errorf("Of() makes %v allocations, want 0", got)
	}
}
