// Package interop holds tests of the auth policy against real authorization servers:
//
//   - zitadel: github.com/zitadel/oidc, by package idp
//   - fosite: github.com/ory/fosite, the library below Ory Hydra
//   - go-oauth2: github.com/go-oauth2/oauth2, which deviates from the standards where others do not
//   - oidc-provider: the npm package, the only one here that binds tokens to a key (RFC 9449), if
//     EVENKEEL_OIDC_PROVIDER is 1; it needs node and npm, and is downloaded once
//
// All scenarios run against all servers that know what they are about. Where servers differ in
// what they do, the fields of traits say so, and the tests prove it.
//
// It has no code of its own.
package interop
