package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

// jobVariable is the environment variable that holds a job, in processes that have one.
const jobVariable = "EVENKEEL_FLEET_JOB"

// A line is what a process logs.
type line struct {
	Time  time.Time
	Event string `json:"msg"`
	Why   string `json:"refresh.reason"`
}

// start starts a process, shows what it logs, and returns when it has ended. It ends when enough is
// closed.
func start(ctx context.Context, j job, enough <-chan struct{}, show func(line)) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(cmd.Environ(), jobVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-enough:
		case <-ended:
		}
		_ = stdin.Close()
	}()
	defer close(ended)
	return errors.Join(showAll(stdout, show), cmd.Wait())
}

func showAll(r io.Reader, show func(line)) error {
	for dec := json.NewDecoder(r); ; {
		var next line
		switch err := dec.Decode(&next); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		show(next)
	}
}
