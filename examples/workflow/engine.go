package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

// An engine is one that goes on with what was interrupted.
type engine interface {
	workflow.Engine
	Resume(ctx context.Context) error
	Close() error
}

// patience is shorter than anywhere else, as somebody is watching.
var patience = workflow.Retry{InitialInterval: 500 * time.Millisecond, GiveUpAfter: time.Minute}

// open opens the engine that the flags ask for. Nothing else knows which one it is.
func open(j job) (engine, error) {
	if j.Temporal == "" {
		return journal.Open(j.Journal, journal.Config{Retry: patience})
	}
	c, err := dialTemporal(j.Temporal)
	if err != nil {
		return nil, fmt.Errorf("invalid -temporal: %w: want a server there, as is started by: temporal server start-dev", err)
	}
	return connected{temporal.New(c, "orders", temporal.Config{Retry: patience, HeartbeatTimeout: time.Second}), c}, nil
}

// dialTemporal returns a client whose spans are in our traces.
func dialTemporal(address string) (client.Client, error) {
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{})
	if err != nil {
		return nil, err
	}
	return client.Dial(client.Options{
		HostPort:     address,
		Interceptors: []interceptor.ClientInterceptor{tracing},
		Logger:       log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
}

// A connected engine closes its connection, too.
type connected struct {
	*temporal.Engine
	client client.Client
}

func (c connected) Close() error {
	err := c.Engine.Close()
	c.client.Close()
	return err
}
