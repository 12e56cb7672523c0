package workflow_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

func TestNext(t *testing.T) {
	transient := workflow.NewFailure("s", errors.New("reset"))
	tests := []struct {
		name     string
		failure  *workflow.Failure
		attempts int
		elapsed  time.Duration
		want     time.Duration
		ok       bool
	}{
		{"first", transient, 1, 0, time.Minute, true},
		{"doubled", transient, 4, 0, 8 * time.Minute, true},
		{"limited", transient, 1000, 0, time.Hour, true},
		{"told", workflow.NewFailure("s", busy{}), 1000, 0, 30 * time.Second, true},
		{"just in time", transient, 1, 24*time.Hour - time.Minute, time.Minute, true},
		{"too late", transient, 1, 24 * time.Hour, time.Minute, false},
		{"permanent", workflow.NewFailure("s", policy.WithClass(errors.New("bad"), policy.Permanent)), 1, 0, 0, false},
		{"canceled", workflow.NewFailure("s", policy.WithClass(errors.New("left"), policy.Canceled)), 1, 0, time.Minute, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := workflow.Retry{}.Next(tt.failure, tt.attempts, tt.elapsed)
			if got != tt.want || ok != tt.ok {
				t.Errorf("Next() = %v, %v, want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestRetryValidate(t *testing.T) {
	for _, tt := range []struct {
		retry workflow.Retry
		want  string
	}{
		{workflow.Retry{}, ""},
		{workflow.Retry{InitialInterval: 2 * time.Hour}, ""},
		{workflow.Retry{InitialInterval: -1}, "invalid InitialInterval -1ns: want at least 1ms"},
		{workflow.Retry{MaxInterval: time.Second}, "invalid MaxInterval 1s"},
		{workflow.Retry{GiveUpAfter: time.Second}, "invalid GiveUpAfter 1s"},
		{workflow.Retry{MaxInterval: math.MaxInt64}, "invalid MaxInterval 2562047h47m16.854775807s: want at most 87600h0m0s"},
		{workflow.Retry{GiveUpAfter: math.MaxInt64}, "invalid GiveUpAfter 2562047h47m16.854775807s: want at most 87600h0m0s"},
	} {
		err := tt.retry.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v.Validate() = %v, want %q", tt.retry, err, tt.want)
		}
	}
}
