package temporal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/evenkeel-go/evenkeel/workflow"
)

func (e *Engine) run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	if err := e.config.fits("input", in); err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	digest, err := digestOf(in)
	if err != nil {
		return nil, err
	}
	run, err := e.begin(ctx, flow, id, digest, in)
	if _, exists := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); exists {
		run, err = e.join(ctx, flow, id, digest)
	}
	if err != nil {
		return nil, err
	}
	return e.await(ctx, run)
}

// begin begins a run. One that exists, done or not, is an error: a call that does not tell a new
// one from an old one would have to ask for the digest each time.
func (e *Engine) begin(ctx context.Context, flow, id, digest string, in json.RawMessage) (*begun, error) {
	run, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       workflowID(flow, id),
		TaskQueue:                                e.queue,
		Memo:                                     map[string]any{digestKey: digest},
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, flow, in)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	return &begun{run, 1}, nil
}

// join finds a run that was begun before, by the same input.
func (e *Engine) join(ctx context.Context, flow, id, digest string) (*begun, error) {
	described, err := e.client.DescribeWorkflow(ctx, workflowID(flow, id), "")
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	var recorded string
	if err := described.GetMemoValue(digestKey, &recorded); err != nil {
		return nil, fmt.Errorf("%w: it was begun by others, without %s in its memo", workflow.ErrConflict, digestKey)
	}
	if recorded != digest {
		return nil, workflow.ErrConflict
	}
	run := e.client.GetWorkflow(ctx, described.WorkflowExecution.ID, described.WorkflowExecution.RunID)
	return &begun{run, max(1, e.attempts(ctx, run))}, nil
}

// A begun run is to be waited for.
type begun struct {
	client.WorkflowRun
	attempts int32 // of its workflow task, when this was made
}

// digestKey is where the memo of a workflow has the digest of its input. The input itself is in its
// history, as large as it may be, and perhaps encrypted, each time in another way.
const digestKey = "evenkeel-input-sha256"

func digestOf(in json.RawMessage) (string, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, in); err != nil {
		return "", fmt.Errorf("temporal: input: %w", err)
	}
	sum := sha256.Sum256(compact.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

// workflowID returns what a run goes by among those of all flows. It is sent in a header, too, which
// may not have all characters that an id may have.
func workflowID(flow, id string) string { return url.PathEscape(flow) + "/" + url.PathEscape(id) }

// runID is the inverse of it.
func runID(workflowID string) string {
	_, escaped, ok := strings.Cut(workflowID, "/")
	if id, err := url.PathUnescape(escaped); ok && err == nil {
		return id
	}
	return workflowID // It was begun by others.
}
