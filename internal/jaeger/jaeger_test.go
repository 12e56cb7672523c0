package jaeger_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/internal/jaeger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCloseEndsTheProcess(t *testing.T) {
	var url string
	t.Run("run", func(t *testing.T) { url = jaeger.Run(t).URL })
	if url == "" {
		t.Skip("there was none")
	}
	if response, err := http.Get(url); err == nil {
		_ = response.Body.Close()
		t.Errorf("%s is still answered, by %s", url, response.Status)
	}
}

func TestStartTellsWhatIsWrong(t *testing.T) {
	if _, err := jaeger.Start(t.Context(), "no such program"); err == nil || !strings.Contains(err.Error(), "no such program") {
		t.Errorf("Start() = %v, want an error that names the program", err)
	}
	self, err := os.Executable() // which knows no flag --config
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jaeger.Start(t.Context(), self); err == nil || !strings.Contains(err.Error(), "ended instead of starting") || !strings.Contains(err.Error(), "-config") {
		t.Errorf("Start() = %v, want an error that has what the program said", err)
	}
}
