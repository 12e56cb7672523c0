package auth

// ParseChallenges is for tests of the parser.
var ParseChallenges = parseChallenges
