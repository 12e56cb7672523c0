package auth

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"

	"github.com/evenkeel-go/evenkeel/policy"
)

// keep writes the record with what a lease has brought. Its error is
// [ErrConflict] if somebody has taken over, and what it brought is of no use. If
// the store is out of reach, it is used all the same, and written later.
func (m *fleet) keep(ctx context.Context, f *flight, v version) error {
	err := m.save(ctx, v)
	switch {
	case err == nil, errors.Is(err, ErrConflict):
		return err
	case v.RefreshToken == "": // a new one is as good
		return nil
	}
	m.keepLater(ctx, f, v, err)
	return nil
}

// keepLater has a record written that could not be because of err. It takes the
// place of one that has not been written either.
func (m *fleet) keepLater(ctx context.Context, f *flight, v version, err error) {
	m.mu.Lock()
	first := m.unsaved == nil
	m.unsaved = &v
	m.mu.Unlock()
	if first {
		m.running.Go(func() { m.persist(context.WithoutCancel(ctx), f) })
	}
	f.say("auth.save_failed", slog.String("save.error", policy.ErrorType(err)))
}

// pending returns what is unsaved, or nil.
func (m *fleet) pending() *version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unsaved
}

// settled takes down that v needs to be saved no more, and reports whether it
// did until now.
func (m *fleet) settled(v *version) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unsaved != v {
		return false
	}
	m.unsaved = nil
	return true
}

// persist writes what is unsaved, however long that takes: it is the only copy.
func (m *fleet) persist(ctx context.Context, f *flight) {
	for pause := minPause; ; pause = min(2*pause, m.ttl()/16) {
		_ = policy.Sleep(ctx, pause/2+rand.N(pause/2+1))
		if err := m.tryFlush(ctx, f); err == nil || errors.Is(err, ErrConflict) {
			return
		}
	}
}

// tryFlush is flush where no flight is to recover from the panic of a store or
// an observer.
func (m *fleet) tryFlush(ctx context.Context, f *flight) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
	}()
	return m.flush(ctx, f)
}

// flush writes what is unsaved, until nothing is. If the record is somebody
// else's by now, its error is [ErrConflict], once.
func (m *fleet) flush(ctx context.Context, f *flight) error {
	for {
		v := m.pending()
		if v == nil {
			return nil
		}
		err := m.save(ctx, *v)
		switch lost := errors.Is(err, ErrConflict); {
		case err != nil && !lost:
			return err
		case !m.settled(v): // there is more by now, or somebody else was quicker
		case lost:
			f.say("auth.save_lost")
			return err
		default:
			f.say("auth.saved")
		}
	}
}

// keeps reports whether there is something unsaved.
func (m *fleet) keeps() bool { return m.pending() != nil }

// save writes a record. It is there also if an earlier attempt wrote it, of
// which no answer came. One that was changed while the refresh token in it was
// used goes on from what that brought, whoever holds the lease by now: that refresh
// token is good for nothing else any more.
func (m *fleet) save(ctx context.Context, v version) error {
	_, err := m.swap(ctx, v)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	now, loadErr := m.load(ctx)
	if loadErr != nil {
		return loadErr
	}
	now.login(m.first)
	switch {
	case now.RefreshToken == v.RefreshToken && now.Tokens[m.slot].AccessToken == v.Tokens[m.slot].AccessToken:
		return nil
	case !slices.Contains(v.spent, now.RefreshToken):
		return err
	}
	now.goOn(v, m.slot)
	if _, err = m.swap(ctx, now); errors.Is(err, ErrConflict) {
		return errBusy // which loses nothing yet
	}
	return err
}

var errBusy = &storeError{"swap", errors.New("the record keeps changing")}

// use takes down that a refresh token is used up: what comes next takes its
// place.
func (v *version) use(refreshToken string) {
	v.RefreshToken = refreshToken
	if refreshToken != "" {
		v.spent = append(slices.Clip(v.spent), refreshToken)
	}
}

// goOn has v go on with the tokens of next.
func (v *version) goOn(next version, slot string) {
	v.RefreshToken, v.Holder, v.Lost = next.RefreshToken, "", false
	if token, ok := next.Tokens[slot]; ok {
		v.putStored(slot, token)
	}
}
