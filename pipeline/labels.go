package pipeline

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labels are the sets of attributes that measurements come with: some that are
// always the same, and some by keys whose values are few. A set is made once for
// the values, as that costs more than to count.
type labels struct {
	base []attribute.KeyValue
	keys []attribute.Key

	made atomic.Pointer[map[labelValues]*label]
	mu   sync.Mutex // for those who make one
}

type labelValues [maxLabels]string

// A label is a set in the shapes that instruments want it in.
type label struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

const (
	maxLabels = 5    // keys
	maxMade   = 1000 // sets that are kept; a program may talk to any number of hosts
)

func newLabels(base ...attribute.KeyValue) *labels { return &labels{base: base} }

// by returns labels with the same base by the given keys.
func (l *labels) by(keys ...string) *labels {
	next := &labels{base: l.base}
	for _, key := range keys {
		next.keys = append(next.keys, attribute.Key(key))
	}
	next.made.Store(&map[labelValues]*label{})
	return next
}

// of returns the label for the values of the keys, where "" is none.
func (l *labels) of(values ...string) *label {
	var key labelValues
	copy(key[:], values)
	if made := (*l.made.Load())[key]; made != nil {
		return made
	}
	return l.make(key)
}

func (l *labels) make(values labelValues) *label {
	attrs := append(make([]attribute.KeyValue, 0, len(l.base)+len(l.keys)), l.base...)
	for i, key := range l.keys {
		if values[i] != "" {
			attrs = append(attrs, keyValue(key, values[i]))
		}
	}
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	next := &label{[]metric.AddOption{set}, []metric.RecordOption{set}}
	l.mu.Lock()
	defer l.mu.Unlock()
	if made := *l.made.Load(); len(made) < maxMade {
		made = maps.Clone(made)
		for i, value := range values {
			values[i] = strings.Clone(value) // which may be a part of something larger
		}
		made[values] = next
		l.made.Store(&made)
	}
	return next
}

// keyValue returns an attribute of the type that the semantic conventions ask
// for.
func keyValue(key attribute.Key, value string) attribute.KeyValue {
	if key == "server.port" || key == "http.response.status_code" {
		if n, err := strconv.Atoi(value); err == nil {
			return key.Int(n)
		}
	}
	return key.String(value)
}
