package workflow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// busy is an error that says everything that policies ask for.
type busy struct{}

func (busy) Error() string                     { return "busy" }
func (busy) Class() policy.Class               { return policy.Throttled }
func (busy) RetryAfter() (time.Duration, bool) { return 30 * time.Second, true }
func (busy) ErrorType() string                 { return "503" }

func TestFailureIsTheSameAfterJSON(t *testing.T) {
	for _, err := range []error{busy{}, policy.WithClass(errors.New("bad"), policy.Permanent), errors.New("reset"), errors.New("answer \xff\xfe")} {
		before := workflow.NewFailure("charge", err)
		data, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		after := new(workflow.Failure)
		if err := json.Unmarshal(data, after); err != nil || *after != *before {
			t.Errorf("failure %#v came back as %#v, %v from %s", before, after, err, data)
		}
	}
}

func TestFailureKeepsWhatPoliciesAskFor(t *testing.T) {
	f := workflow.NewFailure("charge", fmt.Errorf("call: %w", busy{}))
	after, ok := policy.RetryAfter(f)
	if f.Error() != `step "charge": call: busy` || policy.ClassOf(f) != policy.Throttled || after != 30*time.Second || !ok || policy.ErrorType(f) != "503" {
		t.Errorf("NewFailure() = %#v, want the class, delay and type of its error", f)
	}
	if again := workflow.NewFailure("", f); again != f {
		t.Errorf("NewFailure() of a failure = %#v, want the same", again)
	}
	both := workflow.NewFailure("", errors.Join(f, errors.New("and more")))
	if both.Step() != "charge" || both.Error() != "step \"charge\": call: busy\nand more" {
		t.Errorf("NewFailure() of joined errors = %q of step %q, want both texts, and step charge", both, both.Step())
	}
	if workflow.NewFailure("charge", nil) != nil {
		t.Error("NewFailure() of no error is not nil")
	}
}

// A budget refuses what may have taken effect, and a circuit an attempt that others came before.
func TestFailureMayHaveTakenEffect(t *testing.T) {
	for _, err := range []error{
		&retry.Error{Attempts: 1, Reason: retry.ReasonBudget, Err: errors.New("reset")},
		policy.WithClass(errors.New("open"), policy.Rejected),
	} {
		if f := workflow.NewFailure("charge", err); policy.NoEffect(f) || policy.ClassOf(f) != policy.Rejected {
			t.Errorf("failure %v of class %v certainly took no effect, want that to be unknown", f, f.Class())
		}
	}
}

func TestGivenUpIsPermanent(t *testing.T) {
	f := workflow.NewFailure("charge", busy{})
	g := f.GivenUp(24 * time.Hour)
	if !workflow.IsPermanent(g) || workflow.IsPermanent(f) || g.Error() != `step "charge": busy (given up after 24h0m0s)` {
		t.Errorf("GivenUp() = %v of class %v, want a permanent one that says so", g, g.Class())
	}
}

func TestForeignFailures(t *testing.T) {
	for _, data := range []string{`{`, `[]`, `{"class":"soso"}`, `{"class":"transient","retry_after":"soon"}`} {
		if err := json.Unmarshal([]byte(data), new(workflow.Failure)); err == nil {
			t.Errorf("Unmarshal(%s) = nil, want an error", data)
		}
	}
}

// A failure is kept where many may read it.
func TestFailureTellsNoSecrets(t *testing.T) {
	dial := errors.New("connection refused")
	first := &url.Error{Op: "Get", URL: "https://me:***@api.example.com/orders/7?token=s3cret#s3cret", Err: dial}
	other := &url.Error{Op: "Post", URL: "https://pay.example.com/?\"s3cret\"", Err: dial}
	_, malformed := url.Parse("https://me:s3cret@api.example.com:port/?s3cret")
	tests := []struct {
		err  error
		want string
	}{
		{first, `Get "https://api.example.com/orders/7": connection refused`},
		{fmt.Errorf("hold: %w", errors.Join(first, other)), "hold: " + `Get "https://api.example.com/orders/7": connection refused` + "\n" + `Post "https://pay.example.com/": connection refused`},
		{malformed, `parse "[redacted]": invalid port ":port" after host`},
	}
	for _, tt := range tests {
		if got := workflow.NewFailure("", tt.err).Error(); got != tt.want {
			t.Errorf("NewFailure(%v) = %s, want %s", tt.err, got, tt.want)
		}
	}
}
