package pop3_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	setUpTLS() // by the real clock: certificates have dates
	goleak.VerifyTestMain(m)
}
