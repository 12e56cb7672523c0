package fleet_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// orderVariable is the environment variable that makes the test binary a replica: its [order].
const orderVariable = "EVENKEEL_FLEET_ORDER"

func TestMain(m *testing.M) {
	text, isReplica := os.LookupEnv(orderVariable)
	if !isReplica {
		goleak.VerifyTestMain(m)
		return
	}
	if err := obey(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
