package temporal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// Config configures an [Engine]. The zero Config is ready to use.
type Config struct {
	// Retry says how steps are tried again that their pipelines have given up.
	Retry workflow.Retry `json:"retry" yaml:"retry"`

	// HeartbeatTimeout is how long it takes at most until the death of a worker in the
	// middle of a step is noticed. Steps heartbeat at a third of it. At least 3 ms.
	// Default: 30 seconds.
	HeartbeatTimeout time.Duration `json:"heartbeat_timeout" yaml:"heartbeat_timeout"`

	// MaxPayload is how many bytes an input or a result may have as JSON. More is a permanent
	// failure, as servers take no message of more than 4 MiB, and it would be sent in vain for
	// ever. More makes sense with a client that keeps the most of it elsewhere.
	// Default: 4,000,000.
	MaxPayload int `json:"max_payload" yaml:"max_payload"`

	// StartOnly has no worker started in this process: others work on the runs
	// that it begins.
	StartOnly bool `json:"start_only" yaml:"start_only"`

	// Worker is what the worker is made with, such as limits, interceptors, and the version of
	// this program. The engine itself sets WorkflowPanicPolicy, DisableRegistrationAliasing and
	// MaxHeartbeatThrottleInterval. Where there is a zero, WorkerStopTimeout becomes 10 seconds, and
	// StickyScheduleToStartTimeout half of HeartbeatTimeout, 5 seconds at most, as it is how much
	// longer it takes until the run of a dead worker goes on.
	Worker worker.Options `json:"-" yaml:"-"`
}

func (c Config) withDefaults() Config {
	c.Retry = c.Retry.WithDefaults()
	c.HeartbeatTimeout = cmp.Or(c.HeartbeatTimeout, 30*time.Second)
	c.MaxPayload = cmp.Or(c.MaxPayload, 4_000_000)
	// What a flow panics with is caught before; the rest is code that has changed.
	c.Worker.WorkflowPanicPolicy = worker.BlockWorkflow
	// Flows and steps are closures, which all have the same name.
	c.Worker.DisableRegistrationAliasing = true
	// Otherwise the worker passes on a heartbeat at four fifths of the timeout only.
	c.Worker.MaxHeartbeatThrottleInterval = c.HeartbeatTimeout / 3
	c.Worker.StickyScheduleToStartTimeout = cmp.Or(c.Worker.StickyScheduleToStartTimeout, min(5*time.Second, c.HeartbeatTimeout/2))
	c.Worker.WorkerStopTimeout = cmp.Or(c.Worker.WorkerStopTimeout, 10*time.Second)
	return c
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	c = c.withDefaults()
	errs := []error{c.Retry.Validate()}
	if c.HeartbeatTimeout < 3*time.Millisecond {
		errs = append(errs, fmt.Errorf("invalid HeartbeatTimeout %v: want at least 3ms", c.HeartbeatTimeout))
	}
	if c.MaxPayload < 0 {
		errs = append(errs, fmt.Errorf("invalid MaxPayload %d: want more than 0", c.MaxPayload))
	}
	return errors.Join(errs...)
}

// fits returns an error if an input or a result is too large.
func (c Config) fits(what string, payload json.RawMessage) error {
	if len(payload) <= c.MaxPayload {
		return nil
	}
	err := fmt.Errorf("%s of %d bytes: want %d at most", what, len(payload), c.MaxPayload)
	return policy.WithClass(err, policy.Permanent)
}
