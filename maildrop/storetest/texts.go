package storetest

import "strings"

// Texts are messages of every awkward kind, by name: what a store keeps and
// sends must be exactly these octets.
var Texts = map[string]string{
	"plain":             "From: a@example.test\nSubject: x\n\nHello\n",
	"crlf":              "From: a@example.test\r\n\r\nHello\r\n",
	"mixed line ends":   "a\r\nb\nc\r\n\nd\n\r\n",
	"empty":             "",
	"one newline":       "\n",
	"one CR":            "\r",
	"one CRLF":          "\r\n",
	"one octet":         "x",
	"no final newline":  "Subject: x\n\nlast line",
	"final CR":          "Subject: x\n\nlast line\r",
	"bare CR":           "a\rb\r\rc\n",
	"CR CR LF":          "a\r\r\nb\n",
	"LF CR":             "a\n\rb\n\r",
	"NUL":               "a\x00b\n\x00\n",
	"eight bits":        "\xff\xfe\x80 caf\xc3\xa9\n",
	"dot lines":         ".\n..\n.a\n\n.\n",
	"dot first, CRLF":   ".a\r\n",
	"dot later, CRLF":   "a\r\n.b\r\n",
	"dot only":          ".",
	"terminator inside": "a\r\n.\r\nQUIT\r\n",
	"long line":         "x: y\n\n" + strings.Repeat("z", 1<<20) + "\n",
	"long line, CRLF":   "x: y\r\n\r\n" + strings.Repeat("z", 1<<20) + "\r\n",
	"CR at 64 KiB":      strings.Repeat("z", 64<<10-1) + "\r\nend\r\n",
	"LF at 64 KiB":      strings.Repeat("z", 64<<10-1) + "\n.end\n",
	"exactly 64 KiB":    strings.Repeat("z", 64<<10-1) + "\n",
	"many short lines":  strings.Repeat("\n", 200_000),
	"From lines":        "From a@b Tue Nov 24 12:10:45 2026\n>From b\nSubject: x\n\nFrom a@b Tue Nov 24 12:10:45 2026\n>>From \n>\nFrom\n From x\n",
	"From, CRLF":        "Subject: x\r\n\r\nFrom a@b Tue Nov 24 12:10:45 2026\r\n\r\nFrom me\r\n",
	"many quotes":       "x: y\n\n" + strings.Repeat(">", 100_000) + "From me\n" + strings.Repeat(">", 65536) + "\n>>Fro",
	"blank lines":       "x: y\n\n\n\nz\n\n\n",
	"blank, CRLF":       "\r\n\r\nz\r\n\r\n",
	"status":            "Subject: x\nStatus: RO\nX-UIDL: same\n folded\nX-Status: D\nContent-Length: 3\nX-Other: y\n\nStatus: body\n",
	"status only":       "Status: RO\n",
	"only dots":         strings.Repeat(".\r\n", 50_000),
}
