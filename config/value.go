package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A val is the value of an argument or of one element of its list.
type val struct {
	cty.Value
	secret bool   // it comes from env or file: no message may show it
	dir    string // the directory of the file that it was written in
}

// quote shows s, which comes from v, in a message.
func (v val) quote(s string) string {
	if v.secret {
		return "The value"
	}
	return strconv.Quote(s)
}

// A setter stores a value, or says what is wrong with it.
type setter func(v val) *complaint

// A complaint is what is wrong with a value, in a sentence.
type complaint struct {
	text    string
	element int // of a list; -1: all of it
}

func complain(format string, args ...any) *complaint {
	return &complaint{fmt.Sprintf(format, args...), -1}
}

// value returns how to decode an argument that is evaluated at load.
func value(set setter) func(*decoder, *hclsyntax.Attribute) {
	return func(d *decoder, a *hclsyntax.Attribute) {
		e := d.check(a.Expr, nil)
		if e == nil {
			return
		}
		got, diags := a.Expr.Value(&hcl.EvalContext{Functions: e.funcs})
		if diags.HasErrors() {
			d.addHCL(e.discreet(diags))
			return
		}
		v := val{got, e.secret, dirOf(a.SrcRange)}
		if got.IsNull() || !got.IsWhollyKnown() {
			d.errorf(a.Expr.Range(), "Invalid value", "The argument %q has no value. To get the default, leave it out.", a.Name)
			return
		}
		if c := set(v); c != nil {
			d.errorf(c.at(a.Expr), "Invalid value for "+strconv.Quote(a.Name), "%s", c.text)
		}
	}
}

// at returns where the value stands, or its element.
func (c *complaint) at(expr hclsyntax.Expression) Range {
	tuple, ok := expr.(*hclsyntax.TupleConsExpr)
	if ok && c.element >= 0 && c.element < len(tuple.Exprs) {
		return tuple.Exprs[c.element].Range()
	}
	return expr.Range()
}

func dirOf(r Range) string { return filepath.Dir(r.Filename) }

// text takes a string and hands it to set.
func text(set func(v val, s string) *complaint) setter {
	return func(v val) *complaint {
		if v.Type() != cty.String {
			return complain("A string in quotes is required, not a %s.", v.Type().FriendlyName())
		}
		s := v.AsString()
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return complain("It holds a control character.")
		}
		return set(v, s)
	}
}

// str takes a string that is not empty.
func str(dst *string) setter {
	return text(func(_ val, s string) *complaint {
		if s == "" {
			return complain("It is empty.")
		}
		*dst = s
		return nil
	})
}

// path takes the name of a file. A relative one is relative to the directory
// of the configuration file; the working directory of a daemon says nothing.
func path(dst *string) setter {
	return text(func(v val, s string) *complaint {
		if s == "" {
			return complain("It is empty.")
		}
		if filepath.IsAbs(s) {
			*dst = filepath.Clean(s)
			return nil
		}
		abs, err := filepath.Abs(filepath.Join(v.dir, s))
		if err != nil {
			return complain("The working directory is not known, so the path must be absolute.")
		}
		*dst = abs
		return nil
	})
}

// oneOf takes one of several words.
func oneOf[T ~string](dst *T, words ...T) setter {
	return text(func(v val, s string) *complaint {
		names := make([]string, len(words))
		for i, w := range words {
			names[i] = string(w)
		}
		if !slices.Contains(names, s) {
			hint := ""
			if !v.secret {
				hint = didYouMean(s, names)
			}
			return complain("%s is not one of %s.%s", v.quote(s), oneOfThese(names), hint)
		}
		*dst = T(s)
		return nil
	})
}

// boolean takes true or false.
func boolean(dst *bool) setter {
	return func(v val) *complaint {
		if v.Type() != cty.Bool {
			return complain("It must be true or false, without quotes.")
		}
		*dst = v.True()
		return nil
	}
}

// number takes a whole number of low to high.
func number(dst *int, low, high int) setter {
	return func(v val) *complaint {
		if v.Type() == cty.Number {
			if f := v.AsBigFloat(); f.IsInt() {
				if n, _ := f.Int64(); n >= int64(low) && n <= int64(high) {
					*dst = int(n)
					return nil
				}
			}
		}
		return complain("It must be a whole number from %d to %d, without quotes.", low, high)
	}
}

// duration takes a string such as "90s" or "1h30m", of low to high.
func duration(dst *time.Duration, low, high time.Duration, why string) setter {
	return func(v val) *complaint {
		if v.Type() == cty.Number {
			return complain(`A duration is a string with its unit, such as "90s" or "10m".`)
		}
		return text(func(v val, s string) *complaint {
			t, err := time.ParseDuration(s)
			switch {
			case err != nil:
				return complain(`%s is not a duration such as "90s", "10m" or "1h30m".`, v.quote(s))
			case t < low:
				return complain("It must be at least %s%s.", brief(low), why)
			case t > high:
				return complain("It must be at most %s.", brief(high))
			}
			*dst = t
			return nil
		})(v)
	}
}

// size takes a string such as "32MiB", of low to high octets.
func size(dst *int64, low, high int64) setter {
	return text(func(v val, s string) *complaint {
		digits := strings.TrimRight(s, "KMGiB")
		n, err := strconv.ParseInt(digits, 10, 32)
		unit, ok := map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[s[len(digits):]]
		switch {
		case err != nil || !ok || n < 0:
			return complain(`%s is not a size such as "512KiB", "64MiB" or "2GiB".`, v.quote(s))
		case n*unit < low:
			return complain("It must be at least %dMiB.", low>>20)
		case n*unit > high:
			return complain("It must be at most %dGiB.", high>>30)
		}
		*dst = n * unit
		return nil
	})
}

// percent takes a string such as "20%", of low to 100.
func percent(dst *int, low int) setter {
	return text(func(v val, s string) *complaint {
		digits, ok := strings.CutSuffix(s, "%")
		n, err := strconv.ParseUint(digits, 10, 16)
		switch {
		case err != nil || !ok:
			return complain(`%s is not a share such as "20%%".`, v.quote(s))
		case int(n) < low || n > 100:
			return complain(`It must be "%d%%" to "100%%".`, low)
		}
		*dst = int(n)
		return nil
	})
}

// brief formats a duration without the zero units of String.
func brief(t time.Duration) string {
	s := t.String()
	if t >= time.Minute {
		s = strings.TrimSuffix(s, "0s")
	}
	if t >= time.Hour {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// list takes a list without duplicates and sets dst to what each makes of the
// elements. An empty list is an error: it can mean all or nothing.
func list[T comparable](dst *[]T, each func(dst *T) setter) setter {
	return func(v val) *complaint {
		if t := v.Type(); !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
			return complain("A list in brackets is required, not a %s.", t.FriendlyName())
		}
		var all []T
		for i, e := range v.AsValueSlice() {
			var one T
			if e.IsNull() {
				return &complaint{"The element has no value.", i}
			}
			if c := each(&one)(val{e, v.secret, v.dir}); c != nil {
				return &complaint{c.text, i}
			}
			if slices.Contains(all, one) {
				return &complaint{"The element is there twice.", i}
			}
			all = append(all, one)
		}
		if len(all) == 0 {
			return complain("The list is empty. To get the default, leave the argument out.")
		}
		*dst = all
		return nil
	}
}

// prefix takes a network such as "192.0.2.0/24", or one address.
func prefix(dst *netip.Prefix) setter {
	return text(func(v val, s string) *complaint {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			*dst = netip.PrefixFrom(addr, addr.BitLen())
			return nil
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return complain(`%s is not a network such as "192.0.2.0/24" or "2001:db8::/32".`, v.quote(s))
		case p.Addr().Is4In6():
			return complain("An IPv4 network is written without ::ffff:.")
		case p != p.Masked():
			return complain("%s has bits set behind its prefix length.", v.quote(s))
		}
		*dst = p
		return nil
	})
}

// origin takes a network, or "unix".
func origin(dst *Origin) setter {
	return func(v val) *complaint {
		if v.Type() == cty.String && v.AsString() == "unix" {
			*dst = Origin{Unix: true}
			return nil
		}
		c := prefix(&dst.Prefix)(v)
		if c != nil {
			c.text += ` The Unix sockets of this machine are "unix".`
		}
		return c
	}
}

// address takes "host:port", ":port" or "unix:/path".
func address(dst *Address) setter {
	return text(func(v val, s string) *complaint {
		if p, ok := strings.CutPrefix(s, "unix:"); ok {
			if !filepath.IsAbs(p) {
				return complain(`The path of a Unix socket is absolute, as in "unix:/run/kpopd/lmtp.sock".`)
			}
			*dst = Address{"unix", filepath.Clean(p)}
			return nil
		}
		host, port, ok := splitHostPort(s)
		if !ok {
			return complain(`%s is not an address such as ":110", "192.0.2.1:110", "[2001:db8::1]:110" or "unix:/path".`, v.quote(s))
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
			return complain("The port is a number up to 65535.")
		}
		*dst = Address{"tcp", joinHostPort(host, port)}
		return nil
	})
}
