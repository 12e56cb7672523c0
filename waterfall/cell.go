package waterfall

import (
	"strings"
	"unicode"

	eastasian "golang.org/x/text/width"
)

// printable replaces what could upset a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// width returns how many columns s takes on a terminal.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// cells returns how many columns r takes.
func cells(r rune) int {
	switch {
	case r < unicode.MaxASCII:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch eastasian.LookupRune(r).Kind() {
	case eastasian.EastAsianWide, eastasian.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// cut shortens s to at most n columns.
func cut(s string, n int) string {
	switch {
	case width(s) <= n:
		return s
	case n <= 0:
		return ""
	}
	taken := 0
	for i, r := range s {
		if taken += cells(r); taken > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}
