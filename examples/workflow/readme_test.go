package main

import (
	"context"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

// The code of the README stands here too, so that it compiles.

func placed(ctx context.Context, order Order) (Receipt, error) {
	engine, err := journal.Open("orders.db", journal.Config{})
	if err != nil {
		return Receipt{}, err
	}
	defer engine.Close()
	if err := Place.On(engine); err != nil {
		return Receipt{}, err
	}
	if err := engine.Resume(ctx); err != nil { // what was interrupted
		return Receipt{}, err
	}
	receipt, err := Place.Run(ctx, engine, order.ID, order) // begins, joins, resumes, or returns what is known
	return receipt, err
}

func TestReadme(t *testing.T) {
	t.Chdir(t.TempDir())
	s, err := startServices(board{t.Output(), time.Now()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	addresses = s.addresses
	defer network.CloseIdleConnections()
	for range 2 {
		if got, err := placed(t.Context(), Order{"apples", 300}); got != (Receipt{1, 1}) || err != nil {
			t.Errorf("placed() = %+v, %v, want payment 1 and parcel 1", got, err)
		}
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
}
