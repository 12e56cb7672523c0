package main

import (
	"errors"

	"github.com/evenkeel-go/evenkeel/workflow"
)

type (
	// An Order is what a customer wants, and what it costs.
	Order struct {
		ID    string
		Cents int
	}
	// A Hold is what the stock keeps for an order.
	Hold struct {
		Order  Order
		Number int
	}
	// A Payment is what was charged for an order.
	Payment struct {
		Order  Order
		Number int
	}
	// A Parcel is on its way.
	Parcel struct {
		Order  Order
		Number int
	}
	// A Receipt is what the customer gets.
	Receipt struct{ Payment, Parcel int }
)

// The steps have no pipelines of their own, as the HTTP clients that they use have.
var (
	Reserve = workflow.NewStep("reserve", nil, reserve) // func(context.Context, Order) (Hold, error)
	Release = workflow.NewStep("release", nil, release)
	Charge  = workflow.NewStep("charge", nil, charge)
	Refund  = workflow.NewStep("refund", nil, refund)
	Ship    = workflow.NewStep("ship", nil, ship)
	Place   = workflow.NewFlow("place-order", place, Reserve, Release, Charge, Refund, Ship)
)

// place reserves what is ordered, and has it delivered, or released if that is not to be.
func place(r workflow.Run, o Order) (Receipt, error) {
	hold, err := Reserve.Do(r, o)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := deliver(r, hold)
	if workflow.IsPermanent(err) { // Nobody will try again.
		_, undo := Release.Do(r, hold)
		return Receipt{}, errors.Join(err, undo)
	}
	return receipt, err
}

// deliver charges for what is held, and ships it, or gives the money back if that is not to be.
func deliver(r workflow.Run, h Hold) (Receipt, error) {
	payment, err := Charge.Do(r, h)
	if err != nil {
		return Receipt{}, err
	}
	parcel, err := Ship.Do(r, h)
	if workflow.IsPermanent(err) {
		_, undo := Refund.Do(r, payment)
		return Receipt{}, errors.Join(err, undo)
	}
	return Receipt{payment.Number, parcel.Number}, err
}
