// Package pgstore keeps the grants of package auth in PostgreSQL, for replicas
// on several machines.
//
//	pool, err := pgxpool.New(ctx, "postgres://db.example.com/orders")
//	store := pgstore.Store{Pool: pool}
//	err = store.CreateTable(ctx)
//
// # What PostgreSQL must keep
//
// A write that PostgreSQL has confirmed and then forgets has the refresh token
// spent twice, for which a server may revoke the grant. Leave fsync and
// synchronous_commit on. Where a failover may promote a replica, let that be a
// synchronous one, or it may lack the last writes. Let the pool connect to the
// primary: replicas lag behind, and do not write.
package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evenkeel-go/evenkeel/auth"
)

// A Store is an [auth.Store] in a table of PostgreSQL. It is safe for
// concurrent use.
//
// Of an error that the server answers only the code is told (SQLSTATE), as its
// text may repeat what was sent. Keys must be text as PostgreSQL has it: valid,
// without zero bytes, and below 2 kB.
type Store struct {
	// Pool is the connection to PostgreSQL. It is required, and not closed. It
	// is not a transaction, as what that has written may be rolled back.
	Pool *pgxpool.Pool

	// Table is the name of the table, "name" or "schema.name".
	// Default: "evenkeel_auth".
	Table string
}

// Validate reports whether the store has a Pool.
func (s Store) Validate() error {
	if s.Pool == nil {
		return errors.New("invalid Pool nil: want a connection to PostgreSQL")
	}
	return nil
}

// CreateTable creates the table unless it exists. Any number of replicas may do so
// at once. If you would rather do it by a migration, this is the table:
//
//	create table evenkeel_auth (
//		key   text collate "C" primary key,
//		rev   bigint not null,
//		value bytea not null
//	)
func (s Store) CreateTable(ctx context.Context) error {
	// Without the lock, those who come at once have the catalog complain. It is
	// held until the statements, which are one transaction, have ended.
	_, err := s.Pool.Exec(ctx, `
		select pg_advisory_xact_lock(hashtext('evenkeel pgstore'));
		create table if not exists `+s.table()+` (
			key   text collate "C" primary key,
			rev   bigint not null,
			value bytea not null
		)`)
	return told(ctx, err)
}

// Load implements [auth.Store].
func (s Store) Load(ctx context.Context, key string) (value []byte, rev uint64, err error) {
	var signed int64
	err = s.Pool.QueryRow(ctx, `select value, rev from `+s.table()+` where key = $1`, key).Scan(&value, &signed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, 0, nil
	case err != nil:
		return nil, 0, told(ctx, err)
	}
	return value, uint64(signed), nil
}

// Swap implements [auth.Store].
func (s Store) Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error) {
	next = rand.Uint64N(1<<63-1) + 1
	if value == nil {
		value = []byte{} // nil is null
	}
	var result pgconn.CommandTag
	if rev == 0 {
		result, err = s.Pool.Exec(ctx, `insert into `+s.table()+` (key, rev, value) values ($1, $2, $3) on conflict do nothing`,
			key, int64(next), value)
	} else {
		result, err = s.Pool.Exec(ctx, `update `+s.table()+` set rev = $2, value = $3 where key = $1 and rev = $4`,
			key, int64(next), value, int64(rev)) // beyond 1<<63 it is less than 0, which none is
	}
	switch {
	case err != nil:
		return 0, told(ctx, err)
	case result.RowsAffected() == 0:
		return 0, auth.ErrConflict
	}
	return next, nil
}

// table returns the table's name, quoted.
func (s Store) table() string {
	return pgx.Identifier(strings.Split(cmp.Or(s.Table, "evenkeel_auth"), ".")).Sanitize()
}

// told returns what can be told of an error of the pool.
func told(ctx context.Context, err error) error {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case ok && answer.Code == "42P01":
		return errors.New("pgstore: there is no such table: want CreateTable to have been called")
	case ok:
		return fmt.Errorf("pgstore: the server answers with SQLSTATE %s: want success", answer.Code)
	default:
		return fmt.Errorf("pgstore: %w", err)
	}
}
