package house_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const rootModule = "github.com/evenkeel-go/evenkeel"

// arrows says what the packages of the root module may import besides the standard library:
// other packages of the module, by their path in it, and packages of other modules, by module.
var arrows = map[string][]string{
	"policy": {},
	"pipeline": {
		"policy",
		"go.opentelemetry.io/otel",
		"go.opentelemetry.io/otel/log",
		"go.opentelemetry.io/otel/metric",
		"go.opentelemetry.io/otel/trace",
	},
	"retry":   {"policy", "internal/latency", "internal/rolling", "github.com/cenkalti/backoff/v4"},
	"breaker": {"policy", "internal/keyed", "internal/rolling", "github.com/sony/gobreaker/v2"},
	"auth":    {"policy", "golang.org/x/oauth2", "golang.org/x/sync"},
	"hedge":   {"policy", "retry", "internal/latency"}, // They share a budget.

	"ratelimit": {"policy", "golang.org/x/time"},

	"auth/authtest": {"auth"},

	"workflow":              {"policy", "pipeline"},
	"workflow/memory":       {"workflow", "workflow/internal/local", "go.opentelemetry.io/otel/trace"},
	"workflow/workflowtest": {"workflow", "pipeline", "policy"},
	"workflow/internal/local": {
		"workflow",
		"policy",
		"go.opentelemetry.io/otel",
		"go.opentelemetry.io/otel/trace",
	},

	"throttle": {"policy", "internal/keyed", "internal/rolling"},
	"limit":    {"policy", "internal/keyed"},

	"internal/keyed":   {},
	"internal/latency": {},
	"internal/rolling": {},
}

// otherArrows holds for packages that are not in arrows, as those of new policies.
var otherArrows = []string{"policy"}

// requirements are the modules that the root module may require directly.
var requirements = []string{
	"github.com/cenkalti/backoff/v4",
	"github.com/sony/gobreaker/v2",
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/log",
	"go.opentelemetry.io/otel/metric",
	"go.opentelemetry.io/otel/trace",
	"golang.org/x/oauth2",
	"golang.org/x/sync",
	"golang.org/x/time",
}

// testRequirements are modules that the root module may require for its tests only.
var testRequirements = []string{
	"go.opentelemetry.io/otel/sdk",
	"go.opentelemetry.io/otel/sdk/log",
	"go.opentelemetry.io/otel/sdk/metric",
	"go.uber.org/goleak",
}

func TestArrows(t *testing.T) {
	t.Chdir("../..")
	packages := make(map[string]goPackage)
	for _, p := range goList(t, "GOWORK=off", "-deps", "./...") {
		packages[p.ImportPath] = p
	}

	for _, p := range packages {
		if !p.inRoot() {
			continue
		}
		allowed, ok := arrows[p.name()]
		if !ok {
			allowed = otherArrows
		}
		for _, path := range p.Imports {
			if imp := packages[path]; !imp.Standard && !slices.Contains(allowed, imp.name()) {
				t.Errorf("%s imports %s: want only the standard library and %q", p.name(), path, allowed)
			}
		}
	}
}

func TestRequirements(t *testing.T) {
	t.Chdir("../..")
	for _, r := range readModFile(t, "go.mod").Require {
		if !r.Indirect && !slices.Contains(requirements, r.Path) && !slices.Contains(testRequirements, r.Path) {
			t.Errorf("go.mod requires %s, which is not on the list", r.Path)
		}
	}

	for _, p := range goList(t, "GOWORK=off", "-deps", "./...") {
		if p.Module != nil && slices.Contains(testRequirements, p.Module.Path) {
			t.Errorf("the library depends on %s: want that in tests only", p.ImportPath)
		}
	}
}

// TestModules checks that the workspace, and with it CI, misses no module, and that nested
// modules build outside of the workspace too, against the modules beside them.
func TestModules(t *testing.T) {
	t.Chdir("../..")
	var work struct{ Use []struct{ DiskPath string } }
	goJSON(t, &work, "work", "edit", "-json", "go.work")
	used := make(map[string]bool)
	for _, use := range work.Use {
		used[filepath.Clean(use.DiskPath)] = true
	}

	for _, file := range modFiles(t) {
		mod, dir := readModFile(t, file), filepath.Dir(file)
		if dir != "tools" && !used[dir] {
			t.Errorf("go.work does not use %s", dir)
		}
		for _, r := range mod.Require {
			want, ok := cutRoot(r.Path)
			if !ok {
				continue
			}
			got := mod.replacement(r.Path)
			if !strings.HasPrefix(got, ".") || filepath.Join(dir, got) != filepath.FromSlash(want) {
				t.Errorf("%s replaces %s by %q: want the relative path to it", file, r.Path, got)
			}
		}
	}
}

// TestReadme checks that the Go code in the README stands, line by line, in a file that CI compiles.
func TestReadme(t *testing.T) {
	t.Chdir("../..")
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlocks(t, trimmedLines(text))
	if len(blocks) == 0 {
		t.Fatal("README.md has no block of Go code")
	}

	sources := compiledFiles(t)
	for _, b := range blocks {
		file, n := mostAlike(sources, b.lines)
		if n == len(b.lines) {
			continue
		}
		t.Errorf("README.md:%d: the Go code that starts with %q is in no file that CI compiles", b.number, b.lines[0])
		if n > 0 {
			t.Logf("README.md:%d: %q is the first line that differs from %s", b.number+n, b.lines[n], file)
		}
	}
}

// A block is a block of Go code in the README. Its first line has the given number.
type block struct {
	number int
	lines  []string
}

func goBlocks(t *testing.T, lines []string) []block {
	t.Helper()
	var blocks []block
	for i := 0; i < len(lines); i++ {
		if lines[i] != "```go" {
			continue
		}
		start := i + 1
		length := slices.Index(lines[start:], "```")
		if length <= 0 {
			t.Fatalf("README.md:%d: the block of Go code is empty or does not end", start)
		}
		i = start + length
		blocks = append(blocks, block{number: start + 1, lines: lines[start:i]})
	}
	return blocks
}

// compiledFiles returns the lines of all Go files, tests included, of all modules of the workspace.
func compiledFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := make(map[string][]string)
	for _, p := range goList(t, "GOWORK=", "work") {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			file := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files[file] = trimmedLines(text)
		}
	}
	return files
}

// mostAlike returns the file that has the most of the given lines, in sequence from the first,
// and how many it has.
func mostAlike(files map[string][]string, lines []string) (file string, most int) {
	for name, text := range files {
		for i := range text {
			n := 0
			for n < len(lines) && i+n < len(text) && text[i+n] == lines[n] {
				n++
			}
			if n > most {
				file, most = name, n
			}
		}
	}
	return file, most
}

func trimmedLines(text []byte) []string {
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// A goPackage is a package as go list prints it.
type goPackage struct {
	Dir          string
	ImportPath   string
	Standard     bool
	Module       *struct{ Path string }
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

func (p goPackage) inRoot() bool { return p.Module != nil && p.Module.Path == rootModule }

// name returns what stands for p in arrows.
func (p goPackage) name() string {
	switch {
	case p.inRoot():
		name, _ := cutRoot(p.ImportPath)
		return name
	case p.Module != nil:
		return p.Module.Path
	default:
		return p.ImportPath
	}
}

// cutRoot returns where in the root module a package or a nested module is, and whether it is there.
func cutRoot(importPath string) (string, bool) {
	if importPath == rootModule {
		return ".", true
	}
	return strings.CutPrefix(importPath, rootModule+"/")
}

// goList returns the packages that go list finds with an additional environment variable.
func goList(t *testing.T, env string, args ...string) []goPackage {
	t.Helper()
	var packages []goPackage
	dec := json.NewDecoder(bytes.NewReader(goOutput(t, env, append([]string{"list", "-json"}, args...)...)))
	for dec.More() {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

// A modFile is a go.mod file as go mod edit prints it.
type modFile struct {
	Require []struct {
		Path     string
		Indirect bool
	}
	Replace []struct{ Old, New struct{ Path string } }
}

// replacement returns what replaces the module at path, or the empty string.
func (m modFile) replacement(path string) string {
	for _, r := range m.Replace {
		if r.Old.Path == path {
			return r.New.Path
		}
	}
	return ""
}

func readModFile(t *testing.T, file string) modFile {
	t.Helper()
	var mod modFile
	goJSON(t, &mod, "mod", "edit", "-json", file)
	return mod
}

// modFiles returns the go.mod files of all modules of the repository.
func modFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" || d.Name() == "testdata":
			return fs.SkipDir
		case d.Name() == "go.mod":
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// goJSON runs the go command and decodes the JSON that it prints into v.
func goJSON(t *testing.T, v any, args ...string) {
	t.Helper()
	if err := json.Unmarshal(goOutput(t, "GOWORK=off", args...), v); err != nil {
		t.Fatal(err)
	}
}

// goOutput runs the go command with an additional environment variable and returns what it prints.
func goOutput(t *testing.T, env string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(cmd.Environ(), env)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return out
}
