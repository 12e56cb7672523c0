package benchmarks_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/common"
	failsafepolicy "github.com/failsafe-go/failsafe-go/policy"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A chain returns a function that makes calls which pass through n policies. They do nothing but
// count the calls that they pass on.
type chain func(ctx context.Context, n int, passed *int) func() error

var chains = []struct {
	name   string
	create chain
}{
	{ours, newPassThrough},
	{"azcore", newAzcorePassThrough},
	{"failsafe-go", newFailsafePassThrough},
}

func newPassThrough(ctx context.Context, n int, passed *int) func() error {
	policies := make([]policy.Policy, n)
	for i := range policies {
		policies[i] = policy.New(fmt.Sprint("policy", i), func(ctx context.Context, call policy.Call, next policy.Handler) error {
			*passed++
			return next(ctx, call)
		})
	}
	p := pipeline.Must(pipeline.New("users", policies...))
	return func() error {
		_, err := pipeline.Run(ctx, p, "users.get", succeed)
		return err
	}
}

type azcorePassThrough struct{ passed *int }

func (p azcorePassThrough) Do(req *azpolicy.Request) (*http.Response, error) {
	*p.passed++
	return req.Next()
}

// A stub is a network that answers all requests alike.
type stub struct{ response *http.Response }

func (s stub) Do(*http.Request) (*http.Response, error) { return s.response, nil }

func newAzcorePassThrough(ctx context.Context, n int, passed *int) func() error {
	policies := make([]azpolicy.Policy, n)
	for i := range policies {
		policies[i] = azcorePassThrough{passed}
	}
	p := azruntime.NewPipeline("users", "v1", azruntime.PipelineOptions{PerCall: policies}, &azpolicy.ClientOptions{
		Transport: stub{&http.Response{StatusCode: 200, Body: http.NoBody}},
		Telemetry: azpolicy.TelemetryOptions{Disabled: true},
	})
	return func() error {
		req, err := azruntime.NewRequest(ctx, http.MethodGet, "https://api.example.com/users")
		if err != nil {
			return err
		}
		_, err = p.Do(req) //nolint:bodyclose // It has none.
		return err
	}
}

type failsafePassThrough struct{ passed *int }

func (p failsafePassThrough) ToExecutor(int) any {
	e := &failsafePasser{passed: p.passed}
	e.Executor = e
	return e
}

type failsafePasser struct {
	failsafepolicy.BaseExecutor[int]
	passed *int
}

func (p *failsafePasser) PreExecute(failsafepolicy.ExecutionInternal[int]) *common.PolicyResult[int] {
	*p.passed++
	return nil
}

func newFailsafePassThrough(ctx context.Context, n int, passed *int) func() error {
	policies := make([]failsafe.Policy[int], n)
	for i := range policies {
		policies[i] = failsafePassThrough{passed}
	}
	executor := failsafe.With(policies...).WithContext(ctx)
	return func() error {
		_, err := executor.GetWithExecution(func(exec failsafe.Execution[int]) (int, error) { return succeed(exec.Context()) })
		return err
	}
}

// BenchmarkPassThrough has calls pass through 1, 4 and 16 policies: what counts is the cost of each
// further one. It is W10 of the report.
func BenchmarkPassThrough(b *testing.B) {
	for _, c := range chains {
		for _, n := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("%s/policies=%d", c.name, n), func(b *testing.B) {
				passed := 0
				call := c.create(b.Context(), n, &passed)
				b.ReportAllocs()
				for b.Loop() {
					if err := call(); err != nil {
						b.Fatal(err)
					}
				}
				if want := n * b.N; passed != want {
					b.Fatalf("policies passed on %d calls, want %d", passed, want)
				}
			})
		}
	}
}
