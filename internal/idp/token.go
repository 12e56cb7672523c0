package idp

import (
	"net/http"

	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// serveToken is the token endpoint. It is made of the provider's own parts, and
// not simply the provider's, because that one logs every refusal to the default
// logger, and loses a second of a token's lifetime by rounding.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	s.tokenRequests.Add(1)
	w.Header().Set("Cache-Control", "no-store")
	response, err := s.exchange(r.WithContext(op.ContextWithIssuer(r.Context(), s.Issuer)))
	if err != nil {
		refuse(w, oidc.DefaultToServerError(err, "internal error"))
		return
	}
	response.ExpiresIn = uint64(s.expiresIn())
	httphelper.MarshalJSON(w, response)
}

func (s *Server) exchange(r *http.Request) (*oidc.AccessTokenResponse, error) {
	switch grant := r.PostFormValue("grant_type"); oidc.GrantType(grant) {
	case oidc.GrantTypeRefreshToken:
		form, err := op.ParseRefreshTokenRequest(r, s.provider.Decoder())
		if err != nil {
			return nil, err
		}
		request, client, err := op.ValidateRefreshTokenRequest(r.Context(), form, s.provider)
		if err != nil {
			return nil, err
		}
		return op.CreateTokenResponse(r.Context(), request, client, s.provider, true, "", form.RefreshToken)

	case oidc.GrantTypeClientCredentials:
		form, err := op.ParseClientCredentialsRequest(r, s.provider.Decoder())
		if err != nil {
			return nil, err
		}
		request, client, err := op.ValidateClientCredentialsRequest(r.Context(), form, s.provider)
		if err != nil {
			return nil, err
		}
		return op.CreateClientCredentialsTokenResponse(r.Context(), request, s.provider, client)

	case "":
		return nil, oidc.ErrInvalidRequest().WithDescription("grant_type is missing")
	default:
		return nil, oidc.ErrUnsupportedGrantType()
	}
}

// refuse answers a token request as RFC 6749, section 5.2, says.
func refuse(w http.ResponseWriter, err *oidc.Error) {
	status := http.StatusBadRequest
	switch err.ErrorType {
	case oidc.InvalidClient:
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="idp"`)
	case oidc.ServerError:
		status = http.StatusInternalServerError
	}
	httphelper.MarshalJSONWithStatus(w, err, status)
}
