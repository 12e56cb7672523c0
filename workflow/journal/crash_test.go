package journal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

// The tests have a child process killed, which is this program with childEnv set to the
// directory that it works in.
const (
	childEnv = "EVENKEEL_JOURNAL_CHILD"
	nthEnv   = "EVENKEEL_JOURNAL_NTH"  // which child it is
	hangsEnv = "EVENKEEL_JOURNAL_HANG" // the step that does not end
)

const (
	crashFlows = 100
	crashSteps = 5  // of each flow
	crashAtOne = 8  // flows at a time
	crashKills = 40 // at most
)

// child runs all flows, those first that others did not finish. It exits with 0 when all
// have come to the right end.
func child(dir string) {
	engine, err := journal.Open(filepath.Join(dir, "flows.db"), journal.Config{})
	exitIf(err)
	flow := effective(dir)
	exitIf(flow.On(engine))
	var first, ids []string
	for n := range crashFlows {
		ids = append(ids, strconv.Itoa(n))
	}
	for s, err := range engine.Runs(context.Background()) {
		exitIf(err)
		if s.State == workflow.Stuck {
			first = append(first, s.ID)
		}
	}
	queue := make(chan string, 2*crashFlows)
	for _, id := range append(first, ids...) {
		queue <- id
	}
	close(queue)
	exitIf(engine.Resume(context.Background()))
	fmt.Println("begins, with", len(first), "to finish")
	var workers sync.WaitGroup
	for range crashAtOne {
		workers.Go(func() {
			for id := range queue {
				n, _ := strconv.Atoi(id)
				got, err := flow.Run(context.Background(), engine, id, n)
				exitIf(err)
				if got != n+crashSteps {
					exitIf(fmt.Errorf("run %s has come to %d, want %d", id, got, n+crashSteps))
				}
			}
		})
	}
	workers.Wait()
	exitIf(engine.Close())
}

func exitIf(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// effective returns a flow whose steps append to a file who they are and in which process,
// wait a moment, and count up.
func effective(dir string) workflow.Flow[int, int] {
	file, err := os.OpenFile(filepath.Join(dir, "effects"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	exitIf(err)
	var steps []workflow.Step[int, int]
	var all []workflow.AnyStep
	for i := range crashSteps {
		name := strconv.Itoa(i + 1)
		step := workflow.NewStep(name, nil, func(ctx context.Context, n int) (int, error) {
			_, err := fmt.Fprintf(file, "%s %s\n", workflow.Key(ctx), os.Getenv(nthEnv))
			exitIf(err)
			if name == os.Getenv(hangsEnv) {
				select {}
			}
			time.Sleep(rand.N(5 * time.Millisecond))
			return n + 1, nil
		})
		steps, all = append(steps, step), append(all, step)
	}
	return workflow.NewFlow("effective", func(r workflow.Run, n int) (int, error) {
		for _, step := range steps {
			var err error
			if n, err = step.Do(r, n); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, all...)
}

// spawn starts a child, and returns when it begins.
func spawn(t *testing.T, dir string, nth int, env ...string) (cmd *exec.Cmd, output *bufio.Reader) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), program, "-test.run=^$")
	cmd.Env = append(cmd.Environ(), append(env, childEnv+"="+dir, fmt.Sprintf("%s=%d", nthEnv, nth))...)
	cmd.Stderr = t.Output()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	output = bufio.NewReader(pipe)
	if line, err := output.ReadString('\n'); err != nil || !strings.HasPrefix(line, "begins") {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return cmd, output
}

// ended waits for the end of a child, and reports whether it was killed.
func ended(t *testing.T, cmd *exec.Cmd, output io.Reader) (killed bool) {
	t.Helper()
	text, _ := io.ReadAll(output)
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
		return true
	}
	if err != nil {
		t.Fatalf("the child ends with %v, and says %s", err, text)
	}
	return false
}

// An effect is what a step of a run has done, and in which process.
type effect struct{ run, step, nth int }

func effects(t *testing.T, dir string) []effect {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "effects"))
	if err != nil {
		t.Fatal(err)
	}
	var all []effect
	for line := range strings.Lines(string(text)) {
		var e effect
		if _, err := fmt.Sscanf(line, "effective/%d/%d %d\n", &e.run, &e.step, &e.nth); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

func TestKilledInStepBRunsNotAAgain(t *testing.T) {
	dir := t.TempDir()
	cmd, output := spawn(t, dir, 1, hangsEnv+"=2")
	for {
		hanging := 0
		for _, e := range effects(t, dir) {
			if e.step == 2 {
				hanging++
			}
		}
		if hanging == crashAtOne {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !ended(t, cmd, output) {
		t.Fatal("the child was not killed")
	}
	cmd, output = spawn(t, dir, 2)
	ended(t, cmd, output)
	count := make(map[effect]int)
	for _, e := range effects(t, dir) {
		e.nth = 0
		count[e]++
	}
	for run := range crashFlows {
		want := 1
		if run < crashAtOne {
			want = 2
		}
		if a, b := count[effect{run, 1, 0}], count[effect{run, 2, 0}]; a != 1 || b != want {
			t.Errorf("run %d has carried out its first step %d times and the second %d times, want once and %d times", run, a, b, want)
		}
	}
}

// Killed at random, all flows end. A step is carried out again only if it was under way in
// a process that was killed, and never when a later one of its run has been.
func TestKilledAtRandomAllFlowsEnd(t *testing.T) {
	dir, kills := t.TempDir(), 0
	for killed := true; killed; {
		cmd, output := spawn(t, dir, kills)
		if kills < crashKills {
			time.AfterFunc(rand.N(30*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
		if killed = ended(t, cmd, output); killed {
			kills++
		}
	}
	all := effects(t, dir)
	last := make(map[int]effect)        // of each run
	repeated := make(map[int]int)       // by the process in which they were under way
	times := make(map[[2]int]int, 1000) // by run and step
	for _, e := range all {
		before, ok := last[e.run]
		switch {
		case !ok && e.step == 1, ok && e.step == before.step+1:
		case ok && e.step == before.step && e.nth > before.nth:
			repeated[before.nth]++
		default:
			t.Errorf("run %d comes to step %d in process %d after step %d in process %d", e.run, e.step, e.nth, before.step, before.nth)
		}
		last[e.run] = e
		times[[2]int{e.run, e.step}]++
	}
	for nth, n := range repeated {
		if n > crashAtOne {
			t.Errorf("%d steps of process %d were repeated, want %d at most, as no more were under way when it was killed", n, nth, crashAtOne)
		}
	}
	if want := crashFlows * crashSteps; len(times) != want {
		t.Errorf("%d steps were carried out, want %d", len(times), want)
	}
	t.Logf("%d kills, %d steps, %d of them carried out again", kills, len(times), len(all)-len(times))
	if kills < 5 {
		t.Errorf("the process was killed %d times, want it to be more", kills)
	}
}
