package krb5

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"kpopd/auth"
)

// These tests run the GSS-API of MIT Kerberos and of Heimdal, whose tokens are
// rotated, against the mechanism. They need gcc, libkrb5-dev and
// libgssapi3-heimdal, and fail without them.

// Flags of a context (RFC 2744): detection of replays and of messages out of
// order, confidentiality, integrity.
const (
	gssOrdered = 4 | 8
	gssLayered = 16 | 32
)

var gssLibraries = map[string]string{"MIT": "-lgssapi_krb5", "Heimdal": "-l:libgssapi.so.3"}

func buildGSSClient(t *testing.T, library string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gssclient")
	out, err := exec.CommandContext(t.Context(), "gcc", "-Wall", "-o", bin, "testdata/gssclient.c", library).CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s(Debian: gcc libkrb5-dev libgssapi3-heimdal)", err, out)
	}
	return bin
}

// A gssWish is what the client asks for.
type gssWish struct {
	flags    int
	layer    LayerSet
	size     int
	authzid  string
	bindings []byte
}

// A gssClient is a running client.
type gssClient struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
}

func (w mitWorld) gssClient(t *testing.T, bin string, wish gssWish) *gssClient {
	t.Helper()
	bindings := "-"
	if wish.bindings != nil {
		bindings = hex.EncodeToString(wish.bindings)
	}
	c := &gssClient{cmd: w.command(t, bin, "pop@localhost", strconv.Itoa(wish.flags), strconv.Itoa(int(wish.layer)),
		strconv.Itoa(wish.size), wish.authzid, bindings)}
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.in.Close(); c.cmd.Wait() })
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 1<<20)
	return c
}

// line reads a line of the client's.
func (c *gssClient) line(t *testing.T) string {
	t.Helper()
	if !c.out.Scan() {
		c.cmd.Wait()
		t.Fatalf("client ended: %s", &c.stderr)
	}
	return c.out.Text()
}

func (c *gssClient) token(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(c.line(t))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *gssClient) say(format string, a ...any) { fmt.Fprintf(c.in, format+"\n", a...) }

// login runs the exchange until it is done or fails.
func (c *gssClient) login(t *testing.T, x auth.LayeredExchange) error {
	t.Helper()
	for {
		challenge, done, err := x.Next(c.token(t))
		if done || err != nil {
			return err
		}
		c.say("%x", challenge)
	}
}

// talk sends text both ways through the layer.
func (c *gssClient) talk(t *testing.T, layer auth.SecurityLayer, sealed bool) {
	t.Helper()
	for _, n := range []int{0, 1, 6, 512, layer.MaxPlain()} {
		c.say("w %x", text(n))
		plain, err := layer.Unwrap(c.token(t))
		if err != nil || !bytes.Equal(plain, text(n)) {
			t.Fatalf("unwrap %d octets: %v", n, err)
		}
		token, err := layer.Wrap(text(n))
		if err != nil {
			t.Fatalf("wrap %d octets: %v", n, err)
		}
		c.say("u %x", token)
		want := fmt.Sprintf("0 %x", text(n))
		if sealed {
			want = fmt.Sprintf("1 %x", text(n))
		}
		if got := c.line(t); got != want {
			t.Fatalf("%d octets: client unwraps %.80s, want %.80s", n, got, want)
		}
	}
}

// TestGSSAPIInterop is every enctype with every layer, mutual and not.
func TestGSSAPIInterop(t *testing.T) {
	const size = 8000
	for library, flag := range gssLibraries {
		t.Run(library, func(t *testing.T) {
			w := newMITWorld(t)
			bin := buildGSSClient(t, flag)
			mech := &GSSAPI{Acceptor: &Acceptor{Keys: w.mint, Replay: new(MemoryReplay)}, Layers: LayerNone | LayerIntegrity | LayerConfidentiality}
			for _, etype := range cfxEtypes {
				if err := w.mint.AddKey(popService, uint32(etype), etype); err != nil {
					t.Fatal(err)
				}
				w.hold(t, issue(t, w.mint, alice, popService, TicketOptions{Etype: etype}))
				for _, layer := range []LayerSet{LayerNone, LayerIntegrity, LayerConfidentiality} {
					for _, flags := range contextFlags(library) {
						t.Run(fmt.Sprintf("etype%d/%s/flags=%d", etype, layer, flags), func(t *testing.T) {
							c := w.gssClient(t, bin, gssWish{flags: flags, layer: layer, size: size, authzid: "bob"})
							x := mech.Start(t.Context(), auth.Peer{Tickets: true}).(auth.LayeredExchange)
							if err := c.login(t, x); err != nil {
								t.Fatalf("%v, client: %s", err, &c.stderr)
							}
							id := x.Identity()
							if id.User != "alice" || id.Authzid != "bob" || id.Mechanism != "GSSAPI" {
								t.Errorf("identity %+v", id)
							}
							checkLayer(t, c, x.Layer(), layer, size)
						})
					}
				}
			}
		})
	}
}

// contextFlags are the kinds of contexts of a library. Without an AP-REP the
// acceptor's sequence numbers begin where the initiator's do; Heimdal's
// initiator thinks that they begin at 0, so it must not look at them.
func contextFlags(library string) []int {
	flags := []int{gssLayered, gssMutual | gssLayered, gssMutual | gssOrdered | gssLayered}
	if library != "Heimdal" {
		flags = append(flags, gssOrdered|gssLayered)
	}
	return flags
}

func checkLayer(t *testing.T, c *gssClient, got auth.SecurityLayer, chosen LayerSet, size int) {
	t.Helper()
	if chosen == LayerNone {
		if got != nil {
			t.Error("a layer that nobody asked for")
		}
		return
	}
	if got == nil {
		t.Fatal("no layer")
	}
	c.talk(t, got, chosen == LayerConfidentiality)
	token, err := got.Wrap(make([]byte, got.MaxPlain()))
	if err != nil || len(token) != size {
		t.Errorf("the longest token has %d octets, error %v; the client takes %d", len(token), err, size)
	}
}

// TestGSSAPIInteropBindings binds tickets to TLS connections.
func TestGSSAPIInteropBindings(t *testing.T) {
	for library, flag := range gssLibraries {
		t.Run(library, func(t *testing.T) {
			w := newMITWorld(t)
			bin := buildGSSClient(t, flag)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				p, client := tlsPeer(t, version)
				key, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
				if err != nil {
					t.Fatal(err)
				}
				exporter := append([]byte("tls-exporter:"), key...)
				endPoint := append([]byte("tls-server-end-point:"), endPoint(client.PeerCertificates[0])...)
				for _, test := range []struct {
					mode   BindingMode
					sent   []byte
					reason string
				}{
					{BindingNone, nil, ""},
					{BindingNone, []byte("tls-exporter:of another connection"), ""},
					{BindingAllow, nil, ""},
					{BindingAllow, exporter, ""},
					{BindingAllow, endPoint, ""},
					{BindingAllow, []byte("tls-exporter:of another connection"), "channel-binding-mismatch"},
					{BindingRequire, exporter, ""},
					{BindingRequire, endPoint, ""},
					{BindingRequire, nil, "channel-binding-missing"},
					{BindingRequire, endPoint[:len(endPoint)-1], "channel-binding-mismatch"},
				} {
					mech := &GSSAPI{Acceptor: &Acceptor{Keys: w.mint, Replay: new(MemoryReplay)}, Binding: test.mode}
					c := w.gssClient(t, bin, gssWish{flags: gssMutual | gssOrdered, layer: LayerNone, bindings: test.sent})
					err := c.login(t, mech.Start(t.Context(), p).(auth.LayeredExchange))
					wantReason(t, fmt.Sprintf("%x, mode %d, %.25q", version, test.mode, test.sent), err, test.reason)
				}
			}
		})
	}
}

// TestGSSAPIInteropRefused is a ticket for a key that the server has not.
func TestGSSAPIInteropRefused(t *testing.T) {
	w := newMITWorld(t)
	mech := &GSSAPI{Acceptor: &Acceptor{Keys: newTestMint(t), Replay: new(MemoryReplay)}}
	c := w.gssClient(t, buildGSSClient(t, gssLibraries["MIT"]), gssWish{flags: gssMutual | gssOrdered, layer: LayerNone})
	err := c.login(t, mech.Start(t.Context(), auth.Peer{Tickets: true}).(auth.LayeredExchange))
	wantReason(t, "another key", err, "bad-integrity")
}
