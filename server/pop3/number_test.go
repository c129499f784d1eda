package pop3_test

import (
	"math"
	"strings"
	"testing"

	"kpopd/server/pop3"
)

func TestNumber(t *testing.T) {
	tests := []struct {
		arg  string
		want int // -1: refused
	}{
		{"0", 0}, {"1", 1}, {"007", 7}, {"99999999", 99999999},
		{"2147483647", math.MaxInt32},
		{"2147483648", math.MaxInt32},
		{"4294967295", math.MaxInt32},
		{"4294967297", math.MaxInt32},
		{"18446744073709551615", math.MaxInt32},
		{"18446744073709551617", math.MaxInt32},
		{strings.Repeat("9", 500), math.MaxInt32},
		{strings.Repeat("0", 500) + "3", 3},
		{"", -1}, {"-1", -1}, {"+1", -1}, {" 1", -1}, {"1 ", -1}, {"1.0", -1}, {"1e3", -1}, {"0x1", -1},
		{"1_000", -1}, {"\u0661", -1}, {"1\x00", -1}, {"one", -1}, {"99999999999999999999999x", -1},
	}
	for _, tt := range tests {
		got, err := pop3.Number(tt.arg)
		if tt.want < 0 {
			if err == nil {
				t.Errorf("%q: %d, want an error", tt.arg, got)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%q: %d, %v, want %d", tt.arg, got, err, tt.want)
		}
	}
}
