package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
)

func ExampleMemoryStore() {
	ctx := context.Background()
	store := new(auth.MemoryStore)

	rev, err := store.Swap(ctx, "orders", []byte("first"), 0) // there is none yet
	fmt.Println(rev != 0, err)

	_, err = store.Swap(ctx, "orders", []byte("second"), 0) // somebody was faster
	fmt.Println(errors.Is(err, auth.ErrConflict))

	value, rev, err := store.Load(ctx, "orders")
	fmt.Printf("%s %v %v\n", value, rev != 0, err)
	// Output:
	// true <nil>
	// true
	// first true <nil>
}

func TestAuth40MemoryStore(t *testing.T) {
	store := new(auth.MemoryStore)
	if _, err := store.Swap(t.Context(), "key", []byte("CANARY"), 0); err != nil {
		t.Fatal(err)
	}
	isClean(t, "store", store)
	isClean(t, "struct with a store", struct{ Store auth.Store }{store})
	isClean(t, "struct with an unexported store", struct{ store *auth.MemoryStore }{store})
}
