// Package fleet tests that replicas of a program can share a login whose refresh tokens rotate,
// on each of the stores: a file, Redis if EVENKEEL_REDIS_URL is set, PostgreSQL if
// EVENKEEL_POSTGRES_URL is.
//
// The replicas are processes: the test binary, started again. The test is the world around them:
// an authorization server that revokes the login if a refresh token is used twice, an API that
// takes only tokens that are good, and the way to the store. It revokes a token, kills a replica
// in the middle of a token request, and cuts the store off in the middle of another one.
//
// The same replicas without a store lose the login, so that the test can fail.
//
// It has no code of its own.
package fleet
