package jaeger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// Trace returns the spans that Jaeger has of a trace, in no particular order, as the program that
// has sent them would have recorded them. It is an error if there are none. Jaeger has what an
// exporter has sent as soon as the exporter says so.
func (s *Server) Trace(ctx context.Context, id trace.TraceID) (tracetest.SpanStubs, error) {
	var answer struct{ Result tracesData }
	if err := s.ask(ctx, "/api/v3/traces/"+id.String(), &answer); err != nil {
		return nil, err
	}
	return answer.Result.stubs()
}

// Services returns the names of the services that have sent spans.
func (s *Server) Services(ctx context.Context) ([]string, error) {
	var answer struct{ Services []string }
	err := s.ask(ctx, "/api/v3/services", &answer)
	return answer.Services, err
}

// Operations returns what a service's spans can be searched for by: their names.
func (s *Server) Operations(ctx context.Context, service string) ([]string, error) {
	var answer struct{ Operations []struct{ Name string } }
	err := s.ask(ctx, "/api/v3/operations?service="+url.QueryEscape(service), &answer)
	var names []string
	for _, o := range answer.Operations {
		names = append(names, o.Name)
	}
	return names, err
}

// ask decodes the answer to a question.
func (s *Server) ask(ctx context.Context, path string, answer any) error {
	body, err := s.get(ctx, s.URL+path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("jaeger: %s: %w", path, err)
	}
	return nil
}

// get returns what is at a URL, if that is answered 200.
func (s *Server) get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("jaeger: %s: %s: %s", url, response.Status, body)
	}
	return body, err
}
