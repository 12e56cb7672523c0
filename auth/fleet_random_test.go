package auth_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

var (
	fleetSeeds = flag.Int("fleet.seeds", 4, "run so many random `fleets` of each kind")
	fleetSeed  = flag.Uint64("fleet.seed", 1, "begin with this `seed`")
)

// A storm is what a fleet is put through. The zero storm has all faults that
// must not cost the grant.
type storm struct {
	replicas int
	scopes   int  // how many kinds of tokens come out of the grant
	open     bool // FailOpen
	lossy    bool // answers get lost, replicas are cut off: the grant may be lost
	frozen   bool // the store refuses to write, but not to read, now and then
	logins   bool // somebody logs in anew now and then
	machine  bool // client credentials
}

var storms = map[string]storm{
	"one":            {replicas: 1},
	"one, fail open": {replicas: 1, open: true},
	"many":           {replicas: 4},
	"frozen":         {replicas: 4, frozen: true},
	"scopes":         {replicas: 4, scopes: 2},
	"logins":         {replicas: 3, logins: true},
	"lossy":          {replicas: 3, lossy: true, frozen: true, logins: true},
	"machine":        {replicas: 3, machine: true, frozen: true},
}

const (
	stormTimeout  = 3 * time.Second
	stormLifetime = 20 * time.Second
	stormLasts    = 3 * time.Minute
	stormTTL      = stormTimeout * 3 / 2
)

// TestAuth32RandomFleet puts fleets through storms and checks that no refresh
// token is spent twice, that every error is typed and none of them untrue, that nobody
// waits beyond its deadline, and that all is well again soon after the storm. A
// seed does not repeat a run to the letter, as goroutines take turns as they like, but
// nearly so.
func TestAuth32RandomFleet(t *testing.T) {
	for name, storm := range storms {
		for seed := *fleetSeed; seed < *fleetSeed+uint64(*fleetSeeds); seed++ {
			t.Run(fmt.Sprint(name, "/", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { newWeather(t, storm, seed).run() })
			})
		}
	}
}

// weather is a storm that is under way.
type weather struct {
	t     *testing.T
	storm storm
	as    *strictServer
	store *auth.MemoryStore
	began time.Time
	over  chan struct{} // closed at the very end

	mu      sync.Mutex
	rand    *rand.Rand
	calm    bool
	down    time.Time // until then, the store is
	frozen  time.Time // until then, the store does not write
	members []*member
	crashed []*member
	calls   int
	good    int
	log     []string
}

// A member is a replica.
type member struct {
	*weather
	name   string
	scope  string
	policy *auth.Policy

	gone bool // its next token request is never sent; guarded by mu
}

func newWeather(t *testing.T, storm storm, seed uint64) *weather {
	w := &weather{
		t: t, storm: storm, store: new(auth.MemoryStore), began: time.Now(), over: make(chan struct{}),
		rand: rand.New(rand.NewPCG(seed, uint64(storm.replicas))),
	}
	w.as = &strictServer{weather: w, families: map[string]*family{}, tokens: map[string]issued{}}
	w.as.login()
	for i := range storm.replicas {
		w.members = append(w.members, w.join(fmt.Sprint("replica ", i), i))
	}
	return w
}

func (w *weather) join(name string, i int) *member {
	m := &member{weather: w, name: name}
	if w.storm.scopes > 1 {
		m.scope = fmt.Sprint("scope", i%w.storm.scopes)
	}
	config := auth.Config{Timeout: stormTimeout, Store: (*stormyStore)(m), Grant: "grant", FailOpen: w.storm.open, KeepWarm: i == 0}
	client := &http.Client{Transport: m}
	if w.storm.machine {
		config.Source = auth.ClientCredentials{TokenURL: tokenURL, ClientID: "client", HTTPClient: client}
	} else {
		config.Source = auth.RefreshToken{TokenURL: tokenURL, ClientID: "client", RefreshToken: w.as.first, Scopes: strings.Fields(m.scope), HTTPClient: client}
	}
	m.policy = auth.New(config)
	return m
}

// note writes down what happens, to be shown if the test fails.
func (w *weather) note(format string, args ...any) {
	line := fmt.Sprintf("%8.3f ", time.Since(w.began).Seconds()) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, line)
}

// chance reports true once in n times while the storm lasts.
func (w *weather) chance(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.rand.IntN(n) == 0
}

// some returns a random duration below d.
func (w *weather) some(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rand.Int64N(int64(d)))
}

func (w *weather) replica() *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members[w.rand.IntN(len(w.members))]
}

func (w *weather) replicas() []*member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*member(nil), w.members...)
}

func (w *weather) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *weather) run() {
	defer w.show()
	var running sync.WaitGroup
	for i := range w.storm.replicas {
		for range 3 {
			running.Go(func() { w.callOften(i) })
		}
	}
	running.Go(w.strike)
	time.Sleep(stormLasts)
	w.mu.Lock()
	w.calm, w.down, w.frozen = true, time.Time{}, time.Time{}
	w.mu.Unlock()
	w.note("calm")
	running.Wait()
	w.checkRecovery()
	w.end()
}

// callOften has the i-th replica call the API until the storm is over.
func (w *weather) callOften(i int) {
	for !w.isCalm() {
		time.Sleep(w.some(2 * time.Second))
		_ = w.replicas()[i].call(time.Millisecond + w.some(10*time.Second))
	}
}

// call calls the API and checks what it has been told.
func (m *member) call(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	if m.chance(10) {
		time.AfterFunc(m.some(patience), cancel)
	}
	start := time.Now()
	err := m.policy.Do(ctx, testCall, m.serve)
	if took := time.Since(start); took > patience {
		m.t.Errorf("%s: call took %v with a deadline of %v", m.name, took, patience)
	}
	m.mu.Lock()
	m.calls++
	if err == nil {
		m.good++
	}
	m.mu.Unlock()
	switch failure, ok := errors.AsType[*auth.AuthError](err); {
	case err == nil, errors.As(err, new(*refusal)):
	case !ok:
		m.t.Errorf("%s: call = %v, want an AuthError", m.name, err)
	case errors.Is(failure, auth.ErrReauthRequired):
		if !m.as.lost() {
			m.t.Errorf("%s: call = %v, though the grant is good", m.name, err)
		}
	case !errors.Is(failure, auth.ErrTokenUnavailable):
		m.t.Errorf("%s: call = %v, which matches nothing", m.name, err)
	case !m.storm.lossy && failure.ErrorCode != "":
		m.t.Errorf("%s: call = %v, want no refusal", m.name, err)
	}
	return err
}

// serve is the API.
func (m *member) serve(_ context.Context, call policy.Call) error {
	token := strings.TrimPrefix(headerOf(call, "Authorization"), "Bearer ")
	return m.as.accepts(token, m)
}

// strike has something happen to the fleet every now and then.
func (w *weather) strike() {
	for !w.isCalm() {
		time.Sleep(w.some(4 * time.Second))
		m := w.replica()
		switch {
		case w.isCalm():
		case w.chance(6):
			m.outage()
		case w.chance(6):
			if token, err := m.policy.Token(canceled(m.t)); err == nil {
				m.policy.Invalidate(token)
			}
		case w.chance(8):
			m.set(w.as.extra(m.scope))
		case w.storm.logins && w.chance(12):
			m.set(w.as.login())
		case w.chance(12):
			m.crash()
		}
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// outage has the store be down for a while.
func (w *weather) outage() {
	until := time.Now().Add(w.some(4 * stormTTL))
	w.mu.Lock()
	freezes := w.storm.frozen && w.rand.IntN(2) == 0
	if freezes {
		w.frozen = until
	} else {
		w.down = until
	}
	w.mu.Unlock()
	w.note("store down (can be read: %v) until %.3f", freezes, until.Sub(w.began).Seconds())
}

// set sets a token, as often as it takes.
func (m *member) set(token *oauth2.Token) {
	for !m.isCalm() {
		err := m.policy.SetToken(m.t.Context(), token)
		m.note("%s: set %s %s: %v", m.name, token.AccessToken, token.RefreshToken, err)
		if err == nil {
			return
		}
		if !errors.Is(err, auth.ErrTokenUnavailable) {
			m.t.Errorf("%s: SetToken() = %v, want it to match ErrTokenUnavailable", m.name, err)
		}
		time.Sleep(time.Second)
	}
}

// crash has m end as a process does that is killed while a token request is on its
// way: it is never heard of again.
func (m *member) crash() {
	if m.storm.open { // what it could not save would end with it
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
}

// replace has another replica take the place of m, which has crashed.
func (m *member) replace() {
	for i, other := range m.replicas() {
		if other == m {
			next := m.join(m.name+"'", i)
			m.mu.Lock()
			m.members[i] = next
			m.crashed = append(m.crashed, m)
			m.mu.Unlock()
		}
	}
}

// checkRecovery checks that all replicas work again soon after the storm, and go
// on to, with few token requests.
func (w *weather) checkRecovery() {
	if w.storm.lossy {
		w.replicas()[0].setCalm(w.as.login())
	}
	time.Sleep(40*time.Second + 2*stormTTL) // backoffs, leases of those that are gone
	for _, m := range w.replicas() {
		if err := m.call(4 * stormTimeout); err != nil {
			w.t.Errorf("%s: call = %v after the storm, want nil", m.name, err)
		}
	}
	before := w.as.granted()
	const lives = 10
	for range 4 * lives {
		time.Sleep(stormLifetime / 4)
		for _, m := range w.replicas() {
			if err := m.call(4 * stormTimeout); err != nil {
				w.t.Errorf("%s: call = %v long after the storm, want nil", m.name, err)
			}
		}
	}
	if n, most := w.as.granted()-before, 2*lives*max(1, w.storm.scopes); n < lives || n > most {
		w.t.Errorf("%d token requests in %d lifetimes after the storm, want %d to %d", n, lives, lives, most)
	}
	if w.good < 40 {
		w.t.Errorf("%d of %d calls were good, want more", w.good, w.calls)
	}
}

func (m *member) setCalm(token *oauth2.Token) {
	if err := m.policy.SetToken(m.t.Context(), token); err != nil {
		m.t.Errorf("%s: SetToken() = %v after the storm, want nil", m.name, err)
	}
}

// end closes all replicas. Those that have crashed go on from where they were:
// nothing of them may remain either, and nothing that they do may do harm.
func (w *weather) end() {
	close(w.over)
	for _, m := range append(w.replicas(), w.crashed...) {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		if err := m.policy.Close(ctx); err != nil {
			w.t.Errorf("%s: Close() = %v, want nil", m.name, err)
		}
		cancel()
	}
}

func (w *weather) show() {
	if !w.t.Failed() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Log("\n" + strings.Join(w.log, "\n"))
}

// RoundTrip carries a token request of m to the server.
func (m *member) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	gone := m.gone && !m.calm
	m.mu.Unlock()
	if gone {
		m.note("%s: crashed with %s", m.name, form.Get("refresh_token"))
		m.replace()
		<-m.over
		return nil, errReset
	}
	latency := m.some(100 * time.Millisecond)
	if m.chance(6) {
		latency = m.some(2 * stormTimeout)
	}
	if err := policy.Sleep(r.Context(), latency); err != nil {
		return nil, r.Context().Err()
	}
	switch {
	case m.chance(8):
		return nil, errReset
	case m.chance(8):
		return response(r, http.StatusServiceUnavailable, ""), nil
	}
	status, answer := m.as.grant(m, form)
	if m.storm.lossy && m.chance(20) {
		m.note("%s: answer lost", m.name)
		return nil, errReset
	}
	return response(r, status, answer), nil
}

var errReset error = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset")}

// A stormyStore is the store as a member finds it.
type stormyStore member

func (s *stormyStore) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	if err := s.reach(ctx, false); err != nil {
		return nil, 0, err
	}
	return s.store.Load(ctx, key)
}

func (s *stormyStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if err := s.reach(ctx, true); err != nil {
		return 0, err
	}
	m := (*member)(s)
	switch {
	case m.chance(20): // written, but nobody is told
		_, _ = s.store.Swap(ctx, key, value, rev)
		return 0, errDown
	case m.chance(20): // written later, or not
		late := m.some(stormTTL)
		time.AfterFunc(late, func() { _, _ = s.store.Swap(context.WithoutCancel(ctx), key, value, rev) })
		return 0, errDown
	}
	next, err := s.store.Swap(ctx, key, value, rev)
	return next, err
}

// reach takes the time and the risk that it takes to reach the store.
func (s *stormyStore) reach(ctx context.Context, writes bool) error {
	m := (*member)(s)
	latency := m.some(5 * time.Millisecond)
	if m.chance(10) {
		latency = m.some(stormTimeout / 3) // some of these are too slow
	}
	if err := policy.Sleep(ctx, latency); err != nil {
		return err
	}
	m.mu.Lock()
	down := time.Now().Before(m.down) || writes && time.Now().Before(m.frozen)
	m.mu.Unlock()
	if down || m.chance(20) {
		return errDown
	}
	return nil
}

// A strictServer rotates refresh tokens and revokes all of a login if one is
// used twice.
type strictServer struct {
	*weather
	first string // refresh token

	mu       sync.Mutex
	families map[string]*family // by refresh token, the used ones too
	tokens   map[string]issued  // by access token
	latest   *family
	number   int
	grants   int
	revoked  bool // whether any family has been
}

type family struct {
	current string
	revoked bool
}

type issued struct {
	family *family
	scope  string
	dies   time.Time
}

// login begins a new family.
func (s *strictServer) login() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = new(family)
	s.rotate(s.latest)
	if s.first == "" {
		s.first = s.latest.current
	}
	return &oauth2.Token{RefreshToken: s.latest.current}
}

// extra returns an access token that was got elsewhere.
func (s *strictServer) extra(scope string) *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &oauth2.Token{AccessToken: s.issue(s.latest, scope), ExpiresIn: int64(stormLifetime / time.Second)}
}

func (s *strictServer) rotate(f *family) {
	s.number++
	f.current = fmt.Sprint("RT", s.number)
	s.families[f.current] = f
}

func (s *strictServer) issue(f *family, scope string) string {
	s.number++
	token := fmt.Sprint("AT", s.number)
	s.tokens[token] = issued{f, scope, time.Now().Add(stormLifetime)}
	return token
}

// lost reports whether the fleet may have a login that is good for nothing any
// more.
func (s *strictServer) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revoked
}

func (s *strictServer) granted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants
}

// accepts is the API's verdict on a token of m.
func (s *strictServer) accepts(token string, m *member) error {
	revoke := s.chance(40)
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.tokens[token]
	switch {
	case !ok, known.scope != m.scope:
		m.t.Errorf("%s: API got %q, which is not for %q", m.name, token, m.scope)
	case revoke:
		s.tokens[token] = issued{known.family, known.scope, time.Now()}
		return &refusal{}
	case known.family.revoked, !time.Now().Before(known.dies):
		return &refusal{}
	}
	return nil
}

// grant answers a token request of m.
func (s *strictServer) grant(m *member, form url.Values) (status int, answer string) {
	refreshToken := form.Get("refresh_token")
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.families[refreshToken]
	if s.storm.machine {
		f = s.latest
	}
	s.grants++
	switch {
	case f == nil:
		m.t.Errorf("%s: token request with %q, which is unknown", m.name, refreshToken)
		return http.StatusBadRequest, `{"error":"invalid_grant"}`
	case f.revoked:
		return http.StatusBadRequest, `{"error":"invalid_grant"}`
	case !s.storm.machine && f.current != refreshToken:
		f.revoked, s.revoked = true, true
		m.note("%s: REUSE of %s, when it was %s's turn", m.name, refreshToken, f.current)
		if !s.storm.lossy {
			m.t.Errorf("%s: %s is used twice", m.name, refreshToken)
		}
		return http.StatusBadRequest, `{"error":"invalid_grant"}`
	}
	answer = fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d`, s.issue(f, m.scope), stormLifetime/time.Second)
	if !s.storm.machine {
		s.rotate(f)
		answer += fmt.Sprintf(`,"refresh_token":%q`, f.current)
	}
	m.note("%s: %s -> %s", m.name, refreshToken, f.current)
	return http.StatusOK, answer + "}"
}
