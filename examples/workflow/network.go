package main

import (
	"context"
	"net"
	"net/http"
)

// addresses are where services listen, by their names.
var addresses map[string]string

// network is how they are reached by these names.
var network = &http.Transport{DialContext: dial}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, addresses[name])
}
