package pipeline

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// A program may talk to any number of hosts. Their labels are right, but not all
// are kept.
func TestLabelsAreBounded(t *testing.T) {
	l := newLabels(attribute.String("base", "b")).by("host", "server.port")
	for i := range 2 * maxMade {
		host := fmt.Sprint("host", i)
		for range 2 {
			got := metric.NewAddConfig(l.of(host, "443").add).Attributes()
			want := attribute.NewSet(attribute.String("base", "b"), attribute.String("host", host), attribute.Int("server.port", 443))
			if !got.Equals(&want) {
				t.Fatalf("label of %s is %v, want %v", host, got, want)
			}
		}
	}
	if got := len(*l.made.Load()); got != maxMade {
		t.Errorf("%d labels are kept, want %d", got, maxMade)
	}
}
