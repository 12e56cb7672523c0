package auth

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
)

// The sources are plain structs that hold secrets, and structs get printed. A
// Formatter is asked for all verbs of package fmt.

// refreshToken has the fields of RefreshToken, and no methods.
type refreshToken RefreshToken

func (s RefreshToken) masked() refreshToken {
	s.TokenURL = shownURL(s.TokenURL)
	s.ClientSecret = mask(s.ClientSecret)
	s.RefreshToken = mask(s.RefreshToken)
	s.Params = maskValues(s.Params)
	return refreshToken(s)
}

// Format implements [fmt.Formatter], without the secrets.
func (s RefreshToken) Format(f fmt.State, verb rune) { format(f, verb, s.masked()) }

// LogValue implements [slog.LogValuer], without the secrets.
func (s RefreshToken) LogValue() slog.Value { return slog.AnyValue(s.masked()) }

// MarshalJSON implements [json.Marshaler], without the secrets.
func (s RefreshToken) MarshalJSON() ([]byte, error) { return json.Marshal(s.masked()) }

// MarshalYAML returns s without the secrets, as packages for YAML ask for.
func (s RefreshToken) MarshalYAML() (any, error) { return s.masked(), nil }

// clientCredentials has the fields of ClientCredentials, and no methods.
type clientCredentials ClientCredentials

func (s ClientCredentials) masked() clientCredentials {
	s.TokenURL = shownURL(s.TokenURL)
	s.ClientSecret = mask(s.ClientSecret)
	s.Params = maskValues(s.Params)
	return clientCredentials(s)
}

// Format implements [fmt.Formatter], without the secrets.
func (s ClientCredentials) Format(f fmt.State, verb rune) { format(f, verb, s.masked()) }

// LogValue implements [slog.LogValuer], without the secrets.
func (s ClientCredentials) LogValue() slog.Value { return slog.AnyValue(s.masked()) }

// MarshalJSON implements [json.Marshaler], without the secrets.
func (s ClientCredentials) MarshalJSON() ([]byte, error) { return json.Marshal(s.masked()) }

// MarshalYAML returns s without the secrets, as packages for YAML ask for.
func (s ClientCredentials) MarshalYAML() (any, error) { return s.masked(), nil }

// Format keeps what is known of the source to itself.
func (s tokenSource) Format(f fmt.State, verb rune) { format(f, verb, fmt.Sprintf("%T", s.source)) }

// Format prints b as its policy, as contexts print all that they hold.
func (b boundPolicy) Format(f fmt.State, verb rune) { b.policy.Format(f, verb) }

func format(f fmt.State, verb rune, v any) { _, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), v) }

func mask(secret string) string {
	if secret == "" {
		return ""
	}
	return "[redacted]"
}

func maskValues(values url.Values) url.Values {
	masked := make(url.Values, len(values))
	for name := range values {
		masked[name] = []string{"[redacted]"}
	}
	return masked
}
