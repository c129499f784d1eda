package localname_test

import (
	"testing"

	"go.uber.org/goleak"

	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.M(m)) }
