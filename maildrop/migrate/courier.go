package migrate

import (
	"fmt"
	"io"
	"strings"
)

// ReadSizeList reads Courier's file courierpop3dsizelist and returns what
// Courier showed; name stands for the file in errors. Its versions:
//
//	/3 5 1795522728                                          next UID, UIDVALIDITY
//	1700000001.M1P1.old.example:2,S 35 1:1795522728:0        name, size, UID:UIDVALIDITY:UTF-8
//	/2 5 1795522728
//	1700000001.M1P1.old.example:2,S 35 1:1795522728
//	/1 5
//	1700000001.M1P1.old.example:2,S 35 1
//
// and one without a header, whose lines are name and size. A unique-id is
// UID<n>-<uidvalidity>, UID<n> where there is no UIDVALIDITY, and made from the
// file's name where there is no UID either.
func ReadSizeList(name string, r io.Reader) (old []Old, err error) {
	version := -1
	seen := map[string]bool{}
	err = eachLine(name, r, func(n int, line string) error {
		if n == 1 {
			if version, err = sizeListVersion(line); err != nil || version > 0 {
				return err
			}
		}
		o, err := parseSizeLine(version, line)
		if err == nil && seen[o.Base] {
			err = formatf("%s stands twice", o.Base)
		}
		seen[o.Base] = true
		old = append(old, o)
		return err
	})
	return old, err
}

// sizeListVersion reads the first line; 0: it is a message's already.
func sizeListVersion(line string) (int, error) {
	var version int
	if !strings.HasPrefix(line, "/") {
		return 0, nil
	}
	if n, _ := fmt.Sscanf(line, "/%d ", &version); n != 1 || version < 1 || version > 3 {
		return 0, formatf("%.40q is no header of a courierpop3dsizelist", line)
	}
	return version, nil
}

// parseSizeLine reads a message's line from its end: names may have spaces.
func parseSizeLine(version int, line string) (o Old, err error) {
	uid := ""
	if version > 0 {
		if line, uid, err = lastField(line); err != nil {
			return o, err
		}
	}
	file, size, err := lastField(line)
	if err != nil {
		return o, err
	}
	if o.Base = baseOf(file); o.Base == "" || strings.Contains(file, "/") {
		return o, formatf("file name %.300q", file)
	}
	if o.Size, err = number63(size); err != nil {
		return o, err
	}
	o.UID, err = courierUID(version, uid, o.Base)
	return o, err
}

func lastField(line string) (before, field string, err error) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", formatf("%.80q has too few fields", line)
	}
	return line[:i], line[i+1:], nil
}

// courierUID makes the unique-id from the line's last field.
func courierUID(version int, field, base string) (string, error) {
	f := strings.Split(field, ":")
	want := []int{1, 1, 2, 3}[version]
	if len(f) != want {
		return "", formatf("%.40q has %d parts, not %d", field, len(f), want)
	}
	var n, validity int64
	var err error
	if version > 0 {
		n, err = number63(f[0])
	}
	if err == nil && version > 1 {
		validity, err = number63(f[1])
	}
	switch {
	case err != nil:
		return "", err
	case n == 0:
		return courierName(base), nil
	case validity == 0:
		return fmt.Sprintf("UID%d", n), nil
	}
	return fmt.Sprintf("UID%d-%d", n, validity), nil
}

// courierName is the unique-id that a file's name makes.
func courierName(base string) string {
	var b strings.Builder
	for i := range len(base) {
		if c := base[i]; c < 0x21 || c > 0x7e || c == '\'' || c == '"' || c == '+' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
