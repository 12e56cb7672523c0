package auth

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"

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
	f.say("auth.save_failed", slog.String("error.type", policy.ErrorType(err)))
}

// persist writes what is unsaved, however long that takes: it is the only copy.
func (m *fleet) persist(ctx context.Context, f *flight) {
	for pause := minPause; ; pause = min(2*pause, m.ttl()/8) {
		_ = policy.Sleep(ctx, pause/2+rand.N(pause/2+1))
		switch err := m.flush(ctx); {
		case err == nil:
			f.say("auth.saved")
			return
		case errors.Is(err, ErrConflict):
			f.say("auth.save_lost")
			return
		}
	}
}

// flush writes what is unsaved, if there is something. If the record is
// somebody else's by now, its error is [ErrConflict], once.
func (m *fleet) flush(ctx context.Context) error {
	m.mu.Lock()
	v := m.unsaved
	m.mu.Unlock()
	if v == nil {
		return nil
	}
	err := m.save(ctx, *v)
	if err == nil || errors.Is(err, ErrConflict) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.unsaved == v {
			m.unsaved = nil
		}
	}
	return err
}

// keeps reports whether there is something unsaved.
func (m *fleet) keeps() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unsaved != nil
}

// save writes a record. It is there also if an earlier attempt wrote it, of
// which no answer came.
func (m *fleet) save(ctx context.Context, v version) error {
	_, err := m.swap(ctx, v)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	now, loadErr := m.load(ctx)
	switch {
	case loadErr != nil:
		return loadErr
	case now.RefreshToken == v.RefreshToken && now.Tokens[m.slot].AccessToken == v.Tokens[m.slot].AccessToken:
		return nil
	case v.spent != "" && now.RefreshToken == v.spent && (now.Holder == "" || now.Holder == m.self):
		v.rev, v.spent, v.Logins = now.rev, "", now.Logins
		_, err = m.swap(ctx, v)
	}
	return err
}
