package auth

// These are for tests of what is behind a policy and a store.
var (
	ParseChallenges = parseChallenges
	ParseRecords    = parseRecords
	FormatRecords   = formatRecords
	TryLock         = tryLock
	JWTExpiry       = jwtExpiry
)
