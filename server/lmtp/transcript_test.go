package lmtp_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite what the server says in testdata/*.txt")

// TestTranscripts plays the conversations in testdata/*.txt. Each begins with
// "== title" and has a world of its own, in which time passes only by !wait.
//
//	C: text     the client sends a line; several in a row go in one write
//	C| text     the same without a line end
//	S: text     what the server answers, up to its next wait for input
//	S.          the server has closed the connection
//	!mail       what has been delivered
//	!wait 5m    time passes
//	!hangup     the client is gone
//	!share      and !permanent, !tls, !retire, !stop: see act
//	= text      what came of a directive
//
// A text with other characters than those of ASCII, or that begins with a
// quote, is quoted as in Go.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for i, section := range strings.Split("\n"+string(data), "\n== ") {
			if i == 0 {
				out = append(out, strings.TrimPrefix(section, "\n"))
				continue
			}
			title, body, _ := strings.Cut(section, "\n")
			out = append(out, title+"\n"+playSection(t, title, body))
		}
		if text := strings.TrimPrefix(strings.Join(out, "\n== "), "\n"); *update && !t.Failed() {
			if err := os.WriteFile(file, []byte(strings.TrimSuffix(text, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func playSection(t *testing.T, title, body string) (out string) {
	t.Run(title, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			want := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
			got := play(newWorld(t), want)
			if diff := cmp.Diff(want, got); diff != "" && !*update {
				t.Error(diff)
			}
			out = strings.Join(got, "\n") + "\n"
		})
	})
	return out
}

// play performs the acts of a section, and returns it with what was heard.
func play(w *world, lines []string) (out []string) {
	defer w.finish()
	for i := 0; i < len(lines); i++ {
		switch line := lines[i]; {
		case strings.HasPrefix(line, "S"), strings.HasPrefix(line, "="):
			continue
		case strings.HasPrefix(line, "!"):
			out = append(append(out, line), w.act(line)...)
		case strings.HasPrefix(line, "C"):
			var text strings.Builder
			for ; i < len(lines) && strings.HasPrefix(lines[i], "C"); i++ {
				text.WriteString(spoken(lines[i]))
				out = append(out, lines[i])
			}
			i--
			w.dial(&out)
			w.client.SetWriteDeadline(time.Now().Add(time.Minute))
			w.client.Write([]byte(text.String())) // one that is cut is heard
			out = append(out, w.heard()...)
		default:
			out = append(out, line)
		}
	}
	return out
}

// dial connects the first time, and notes the greeting.
func (w *world) dial(out *[]string) {
	if w.client == nil {
		w.connect()
		at := slices.IndexFunc(*out, func(line string) bool { return strings.HasPrefix(line, "C") })
		*out = slices.Insert(*out, at, w.heard()...)
	}
}

func spoken(line string) string {
	text := strings.TrimPrefix(line[2:], " ")
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	if line[1] == ':' {
		text += "\r\n"
	}
	return text
}

func quoted(text string) string {
	if q := strconv.QuoteToASCII(text); q != `"`+text+`"` && q != `"`+strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`)+`"` {
		return q
	}
	return text
}

// act performs a directive.
func (w *world) act(line string) []string {
	switch verb, arg, _ := strings.Cut(line, " "); verb {
	case "!mail":
		return w.mail()
	case "!wait":
		d, err := time.ParseDuration(arg)
		if err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(d)
		return w.heard()
	case "!hangup":
		w.client.Close()
		<-w.over
	case "!share":
		w.handler.Share = true
	case "!permanent":
		w.handler.OverQuota.Code, w.handler.OverQuota.Status = 552, "5.2.2"
	case "!tls":
		w.handler.NeedsTLS = true
	case "!retire":
		w.handler.Retire()
	case "!stop":
		go w.server.Shutdown(w.t.Context())
		return w.heard()
	default:
		w.t.Fatalf("there is no %s", verb)
	}
	return nil
}

// finish ends the section.
func (w *world) finish() {
	if w.client != nil {
		w.client.Close()
		<-w.over
	}
	synctest.Wait()
}
