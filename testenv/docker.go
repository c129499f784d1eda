package testenv

import (
	"context"
	"errors"
)

func newDocker(context.Context, string) (host, error) { return nil, errors.New("not built") }
