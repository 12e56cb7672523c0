package breaker_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy {
		return breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Millisecond, Probes: 1})
	})
}

// The same for a policy whose circuits are half-open.
func TestConformanceHalfOpen(t *testing.T) {
	policytest.Run(t, func() policy.Policy {
		p := breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Millisecond, Probes: 1})
		call := policy.Call{Key: "https://policytest.example"}
		_ = p.Do(t.Context(), call, fail)
		time.Sleep(time.Millisecond)
		if got := p.State(call.Key); got != breaker.HalfOpen {
			t.Errorf("State() = %v, want %v", got, breaker.HalfOpen)
		}
		return p
	})
}

func TestNames(t *testing.T) {
	if got := breaker.New(breaker.Config{}).Name(); got != "breaker" {
		t.Errorf("Name() = %q, want breaker", got)
	}
	p := breaker.New(breaker.Config{Name: "orders-api"})
	if p.Name() != "orders-api" || p.Type() != "breaker" {
		t.Errorf("Name() = %q, Type() = %q, want orders-api, breaker", p.Name(), p.Type())
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		config breaker.Config
		want   []string
	}{
		{breaker.Config{}, nil},
		{breaker.Config{OpenFor: time.Hour}, nil}, // More than the default of MaxOpenFor.
		{breaker.Config{OpenFor: time.Minute, MaxOpenFor: time.Minute}, nil},
		{breaker.Config{FailureRatio: 1, SlowRatio: 0.001, SlowCall: time.Microsecond, Probes: 1000}, nil},
		{breaker.Config{MinCalls: math.MaxInt32, ConsecutiveFailures: math.MaxInt32}, nil},

		{breaker.Config{FailureRatio: -0.1}, []string{"invalid FailureRatio -0.1: want more than 0 and at most 1"}},
		{breaker.Config{FailureRatio: 50}, []string{"invalid FailureRatio 50: want more than 0 and at most 1"}},
		{breaker.Config{FailureRatio: math.NaN()}, []string{"invalid FailureRatio NaN: want more than 0 and at most 1"}},
		{breaker.Config{SlowRatio: math.Inf(1)}, []string{"invalid SlowRatio +Inf: want more than 0 and at most 1"}},
		{breaker.Config{SlowRatio: math.Inf(-1)}, []string{"invalid SlowRatio -Inf: want more than 0 and at most 1"}},
		{breaker.Config{MinCalls: -1}, []string{"invalid MinCalls -1: want 1 to 2147483647"}},
		{breaker.Config{ConsecutiveFailures: -1}, []string{"invalid ConsecutiveFailures -1: want 1 to 2147483647"}},
		{breaker.Config{Probes: -3}, []string{"invalid Probes -3: want 1 to 1000"}},
		{breaker.Config{Probes: 1001}, []string{"invalid Probes 1001: want 1 to 1000"}},
		{breaker.Config{Window: -time.Second}, []string{"invalid Window -1s: want 10ms to 720h0m0s"}},
		{breaker.Config{Window: 10}, []string{"invalid Window 10ns: want 10ms to 720h0m0s"}},
		{breaker.Config{OpenFor: 5}, []string{"invalid OpenFor 5ns: want 1ms to 720h0m0s"}},
		{breaker.Config{OpenFor: -time.Second}, []string{"invalid OpenFor -1s: want 1ms to 720h0m0s"}},
		{breaker.Config{MaxOpenFor: time.Second}, []string{"invalid MaxOpenFor 1s: want 5s to 720h0m0s"}},
		{breaker.Config{MaxOpenFor: -time.Second}, []string{"invalid MaxOpenFor -1s: want 5s to 720h0m0s"}},
		{breaker.Config{MaxOpenFor: 1000 * time.Hour}, []string{"invalid MaxOpenFor 1000h0m0s: want 5s to 720h0m0s"}},
		{breaker.Config{ProbeTimeout: -time.Second}, []string{"invalid ProbeTimeout -1s: want 1ms to 720h0m0s"}},
		{breaker.Config{SlowCall: -time.Second}, []string{"invalid SlowCall -1s: want 1µs to 720h0m0s"}},
		{breaker.Config{SlowCall: 2}, []string{"invalid SlowCall 2ns: want 1µs to 720h0m0s"}},
		{breaker.Config{FailureRatio: 2, Window: -1, Probes: -1}, []string{
			"invalid FailureRatio 2: want more than 0 and at most 1",
			"invalid Window -1ns: want 10ms to 720h0m0s",
			"invalid Probes -1: want 1 to 1000",
		}},
	}
	for _, tt := range tests {
		want := strings.Join(tt.want, "\n")
		got := ""
		if err := breaker.New(tt.config).Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("New(%+v).Validate() = %q, want %q", tt.config, got, want)
		}
	}
}

// A configuration that nobody has validated makes no sense, but does not panic.
func TestInvalidConfigDoesNotPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, d := range []time.Duration{-1, 1, -time.Hour, math.MaxInt64, math.MinInt64} {
			p := breaker.New(breaker.Config{
				FailureRatio: math.NaN(), MinCalls: -1, Window: d, ConsecutiveFailures: -1, OpenFor: d,
				MaxOpenFor: d / 2, Probes: -1, ProbeTimeout: d, SlowCall: d, SlowRatio: -1,
			})
			for range 50 {
				_ = p.Do(t.Context(), orders, fail)
				_ = p.Do(t.Context(), orders, succeed)
				time.Sleep(time.Hour)
			}
		}
	})
}

func TestZeroPolicyIsNotUsable(t *testing.T) {
	var p breaker.Policy
	err := p.Validate()
	if err == nil || !strings.Contains(err.Error(), "New") {
		t.Errorf("Validate() = %v, want an error that names New", err)
	}
	if got := p.Do(t.Context(), orders, succeed); !errors.Is(got, err) || policy.ClassOf(got) != policy.Permanent {
		t.Errorf("Do() = %v, want the same as a permanent error", got)
	}
	_ = p.Name()
	_ = p.Type()
	_ = p.State(orders.Key)
	p.ForceOpen(orders.Key)
	p.ForceClosed(orders.Key)
	p.Release(orders.Key)
}

func TestConfigFromJSON(t *testing.T) {
	const text = `{"name":"orders","failure_ratio":0.25,"min_calls":1,"window":2,"consecutive_failures":3,"open_for":4,
		"max_open_for":5,"probes":6,"probe_timeout":7,"slow_call":8,"slow_ratio":0.75}`
	want := breaker.Config{
		Name: "orders", FailureRatio: 0.25, MinCalls: 1, Window: 2, ConsecutiveFailures: 3, OpenFor: 4,
		MaxOpenFor: 5, Probes: 6, ProbeTimeout: 7, SlowCall: 8, SlowRatio: 0.75,
	}
	var got breaker.Config
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Decode() = %+v, %v, want %+v", got, err, want)
	}
	for field := range reflect.TypeFor[breaker.Config]().Fields() {
		if field.Tag.Get("json") != field.Tag.Get("yaml") {
			t.Errorf("field %s: the tags for JSON and YAML differ", field.Name)
		}
	}
}

func TestDoPassesErrorsOn(t *testing.T) {
	p := breaker.New(breaker.Config{})
	got := p.Do(t.Context(), orders, func(context.Context, policy.Call) error { return errDown })
	if got != errDown {
		t.Errorf("Do() = %v, want %v itself", got, errDown)
	}
}
