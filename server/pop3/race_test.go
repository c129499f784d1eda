//go:build race

package pop3_test

func init() { race = true }
