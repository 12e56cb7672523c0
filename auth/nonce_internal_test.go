package auth

import (
	"strconv"
	"testing"
)

func TestAuth22NoncesAreBounded(t *testing.T) {
	var n nonces
	for i := range 3 * maxNonces {
		origin := strconv.Itoa(i)
		if !n.set(origin, "first") || !n.set(origin, "second") || n.of(origin) != "second" {
			t.Fatalf("the nonce of origin %d is %q, want second", i, n.of(origin))
		}
	}
	if got := len(n.byOrigin); got != maxNonces {
		t.Errorf("%d nonces are kept, want %d", got, maxNonces)
	}
	for _, bad := range []string{"", "a b", `a"b`, `a\b`, "a\nb", "ä"} {
		if n.set("other", bad) || n.of("other") != "" {
			t.Errorf("nonce %q is kept, want it refused", bad)
		}
	}
}
