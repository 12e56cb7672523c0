package main

import (
	"testing"
	"time"
)

// A short soak, for the race detector.
func TestSoak(t *testing.T) {
	if err := run(t.Context(), 2*time.Second, 16); err != nil {
		t.Error(err)
	}
}
