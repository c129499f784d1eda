package migrate

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

const captureHeader = "kpopd-capture 1"

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// ReadCapture reads what [WriteCapture] wrote: what a server showed of one
// maildrop.
//
//	kpopd-capture 1
//	2210 8c7dd922ad47494fc02c388e12c00eac 000004d24f3e5a01
//	end 1 8f2c01aa
//
// A line is a message, in the order of the numbers: its size, the digest of its
// header or a dash, and its unique-id. The last line has the number of messages
// and the CRC-32C of all before it. name stands for the file in errors.
func ReadCapture(name string, r io.Reader) (all []Old, err error) {
	var crc uint32
	ended := false
	err = eachLine(name, r, func(n int, line string) error {
		end, last := strings.CutPrefix(line, "end ")
		switch {
		case ended:
			return formatf("there is text behind the last line")
		case n == 1 && line != captureHeader:
			return formatf("%.40q where %q is due", line, captureHeader)
		case n > 1 && last:
			ended = true
			if want := fmt.Sprintf("%d %08x", len(all), crc); end != want {
				return formatf("the last line says %q of what is %q", end, want)
			}
		case n > 1:
			o, err := parseCaptured(line)
			if err != nil {
				return err
			}
			all = append(all, o)
		}
		crc = crc32.Update(crc, crcTable, []byte(line+"\n"))
		return nil
	})
	if err == nil && !ended {
		err = fmt.Errorf("%s: %w", name, formatf("the file ends before its last line"))
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

func parseCaptured(line string) (o Old, err error) {
	f := strings.SplitN(line, " ", 3)
	if len(f) != 3 || f[2] == "" {
		return o, formatf("%.100q does not have three fields", line)
	}
	if o.Size, err = number63(f[0]); err != nil {
		return o, err
	}
	if o.UID = f[2]; f[1] != "-" {
		if o.Header = f[1]; len(o.Header) != 32 || strings.Trim(o.Header, "0123456789abcdef") != "" {
			return o, formatf("%.80q is no digest", f[1])
		}
	}
	return o, nil
}

// WriteCapture writes what a server shows of one maildrop.
func WriteCapture(w io.Writer, all []Old) error {
	out := bufio.NewWriter(w)
	var crc uint32
	put := func(line string) {
		crc = crc32.Update(crc, crcTable, []byte(line+"\n"))
		_, _ = out.WriteString(line + "\n") // Flush tells
	}
	put(captureHeader)
	for _, o := range all {
		if o.UID == "" || len(o.UID) > maxLine/2 || strings.ContainsAny(o.UID, "\r\n") {
			return formatf("unique-id %.100q", o.UID)
		}
		header := o.Header
		if header == "" {
			header = "-"
		}
		put(fmt.Sprintf("%d %s %s", o.Size, header, o.UID))
	}
	fmt.Fprintf(out, "end %d %08x\n", len(all), crc)
	return out.Flush()
}
