package benchmarks_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadme checks that the README names each test that compares, none that does not exist, and the
// versions of go.mod.
func TestReadme(t *testing.T) {
	readme := read(t, "README.md")
	own, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	others, err := filepath.Glob("workflow/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	for _, file := range append(own, others...) {
		for _, match := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(read(t, file), -1) {
			tests[match[1]] = true
		}
	}
	delete(tests, t.Name())
	for _, match := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(readme, -1) {
		if !tests[match[1]] {
			t.Errorf("README.md names %s once more, or it does not exist", match[1])
		}
		delete(tests, match[1])
	}
	for name := range tests {
		t.Errorf("README.md does not name %s", name)
	}

	for _, file := range []string{"go.mod", "workflow/go.mod"} {
		required, _, _ := strings.Cut(read(t, file), ")")
		for _, match := range regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`).FindAllStringSubmatch(required, -1) {
			if path, version := match[1], match[2]; version != "v0.0.0" && !strings.Contains(readme, "| "+version) {
				t.Errorf("README.md does not name %s of %s", version, path)
			}
		}
	}
}
