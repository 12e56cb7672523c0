package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
)

// jobVariable is the environment variable that holds a job, in processes that have one.
const jobVariable = "EVENKEEL_WORKFLOW_JOB"

// start starts this program again, to do a job.
func start(ctx context.Context, w io.Writer, j job) (*exec.Cmd, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(cmd.Environ(), jobVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	return cmd, cmd.Start()
}

// do does the job that text tells of.
func do(ctx context.Context, w io.Writer, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	return j.work(ctx, board{w, j.Began})
}
