package fleet_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/pgstore"
	"github.com/evenkeel-go/evenkeel/auth/redisstore"
)

// openStore opens the store of a replica, nil if it has none.
func openStore(o order) (store auth.Store, closeStore func(), err error) {
	switch o.Store {
	case "":
		return nil, func() {}, nil
	case "file":
		return auth.NewFileStore(o.Where), func() {}, nil
	case "redis":
		options, err := redis.ParseURL(o.Where)
		if err != nil {
			return nil, nil, err
		}
		logging.Disable() // while the server is out of reach it has nothing new to say
		client := redis.NewClient(options)
		return redisstore.Store{Client: client}, func() { _ = client.Close() }, nil
	case "postgres":
		pool, err := pgxpool.New(context.Background(), o.Where)
		if err != nil {
			return nil, nil, err
		}
		return pgstore.Store{Pool: pool, Table: o.Grant}, pool.Close, nil
	default:
		return nil, nil, fmt.Errorf("unknown kind of store %q", o.Store)
	}
}
