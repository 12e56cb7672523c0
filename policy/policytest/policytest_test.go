package policytest_test

import (
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func TestRetry(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return retry.New(retry.Config{}) })
}

func TestTimeout(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return timeout.New(timeout.Config{}) })
}
