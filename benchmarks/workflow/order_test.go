package workflow_test

import (
	"errors"

	"github.com/evenkeel-go/evenkeel/policy"
)

// What the two steps of the flow take and give crosses all engines as JSON.
type (
	order struct {
		ID    string `json:"id"`
		Cents int    `json:"cents"`
	}
	receipt struct {
		Shelf   int `json:"shelf"`
		Payment int `json:"payment"`
	}
)

var errDeclined = policy.WithClass(errors.New("the card is declined"), policy.Permanent)

func reserve(order) (shelf int, err error) { return 7, nil }

func charge(o order) (payment int, err error) {
	if o.Cents == 0 {
		return 0, errDeclined
	}
	return 9, nil
}
