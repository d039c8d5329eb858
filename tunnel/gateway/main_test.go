package gateway

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing goes on after what has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
