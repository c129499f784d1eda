package krb5

import (
	"bytes"
	"crypto/aes"
	"errors"
	"fmt"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"
)

var cfxEtypes = []int32{17, 18, 19, 20}

// eachCFX runs test on both ends of a context of each enctype, for tokens in
// the clear and encrypted.
func eachCFX(t *testing.T, test func(t *testing.T, client, server *cfx, seal bool)) {
	for _, etype := range cfxEtypes {
		for _, seal := range []bool{false, true} {
			t.Run(fmt.Sprintf("etype%d/seal=%t", etype, seal), func(t *testing.T) {
				client, server := cfxPair(t, etype)
				test(t, client, server, seal)
			})
		}
	}
}

func cfxPair(t testing.TB, etype int32) (client, server *cfx) {
	t.Helper()
	key, err := newSubkey(etype)
	if err != nil {
		t.Fatal(err)
	}
	server, err = newCFX(key, true, 7, 1<<32-2)
	if err == nil {
		err = server.prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	return initiatorCFX(t, key, true, 1<<32-2, 7), server
}

// initiatorCFX is the other end of newCFX.
func initiatorCFX(t testing.TB, key types.EncryptionKey, subkey bool, sendSeq, recvSeq uint32) *cfx {
	t.Helper()
	c, err := newInitiatorCFX(key, subkey, sendSeq, recvSeq)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	return c
}

// text returns n octets that differ from their neighbours.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestCFXBothWays(t *testing.T) {
	eachCFX(t, func(t *testing.T, client, server *cfx, seal bool) {
		for _, n := range []int{0, 1, 4, 15, 16, 17, 31, 32, 33, 100, 512, 65536} {
			for _, way := range [][2]*cfx{{client, server}, {server, client}} {
				token := way[0].wrap(text(n), seal)
				if len(token) != n+way[0].overhead(seal) {
					t.Fatalf("token of %d octets for %d, overhead %d", len(token), n, way[0].overhead(seal))
				}
				plain, sealed, err := way[1].unwrap(token)
				if err != nil || sealed != seal || !bytes.Equal(plain, text(n)) {
					t.Fatalf("%d octets: sealed=%t, error %v", n, sealed, err)
				}
			}
		}
	})
}

// rotate rotates a token's body to the right (RFC 4121 §4.2.5).
func rotate(token []byte, rrc uint16) []byte {
	body := token[cfxHeaderSize:]
	n := len(body) - int(rrc)%len(body)
	out := append(append(bytes.Clone(token[:cfxHeaderSize]), body[n:]...), body[:n]...)
	out[6], out[7] = byte(rrc>>8), byte(rrc)
	return out
}

func TestCFXRotation(t *testing.T) {
	eachCFX(t, func(t *testing.T, client, server *cfx, seal bool) {
		token := client.wrap(text(20), seal)
		last := uint16(len(token) - cfxHeaderSize)
		for _, rrc := range []uint16{1, 12, 28, last - 1, last, last + 1, 2*last + 3, 65535} {
			once := *server // the sequence number stays
			plain, _, err := once.unwrap(rotate(token, rrc))
			if err != nil || !bytes.Equal(plain, text(20)) {
				t.Errorf("RRC %d: %v", rrc, err)
			}
		}
	})
}

// TestCFXFiller opens encrypted tokens with filler, which this package never
// makes.
func TestCFXFiller(t *testing.T) {
	for _, etype := range cfxEtypes {
		client, server := cfxPair(t, etype)
		for _, ec := range []uint16{1, 16, 300} {
			h := cfxHeader{flags: client.sendFlag | cfxSealed, ec: ec, seq: client.sendSeq}
			client.sendSeq++
			header := h.append(nil)
			token := client.seal(header, append(text(50), make([]byte, ec)...))
			plain, sealed, err := server.unwrap(token)
			if err != nil || !sealed || !bytes.Equal(plain, text(50)) {
				t.Errorf("etype %d, EC %d: %v", etype, ec, err)
			}
		}
	}
}

// TestCFXAlterations changes each octet of a token, and its length.
func TestCFXAlterations(t *testing.T) {
	eachCFX(t, func(t *testing.T, client, server *cfx, seal bool) {
		token := client.wrap(text(20), seal)
		refused := func(what string, altered []byte) {
			t.Helper()
			before := server.recvSeq
			if _, _, err := server.unwrap(altered); !errors.Is(err, errWrapToken) {
				t.Errorf("%s: error %v", what, err)
			}
			if server.recvSeq != before {
				t.Errorf("%s: counted", what)
			}
		}
		for i := range token {
			for by := range 256 {
				altered := bytes.Clone(token)
				altered[i] ^= byte(by)
				if h, _ := parseCFXHeader(altered); by == 0 || h.rrc != 0 && int(h.rrc)%(len(token)-cfxHeaderSize) == 0 {
					continue // nothing, and full turns, which change nothing
				}
				refused(fmt.Sprintf("octet %d by %#x", i, by), altered)
			}
		}
		for n := range token {
			refused(fmt.Sprintf("first %d octets", n), token[:n])
			refused(fmt.Sprintf("without octet %d", n), append(bytes.Clone(token[:n]), token[n+1:]...))
		}
		refused("one octet more", append(bytes.Clone(token), 0))
		if _, _, err := server.unwrap(token); err != nil {
			t.Fatalf("the token itself: %v", err)
		}
		refused("again", token)
		client.sendSeq++
		refused("out of order", client.wrap(nil, seal))
		refused("reflected", server.wrap(nil, seal))
	})
}

// TestCFXKeyFlag refuses tokens that claim another key than the context's.
func TestCFXKeyFlag(t *testing.T) {
	key, err := newSubkey(18)
	if err != nil {
		t.Fatal(err)
	}
	for _, subkey := range []bool{false, true} {
		server, err := newCFX(key, subkey, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		token := initiatorCFX(t, key, !subkey, 0, 0).wrap(text(4), false)
		if _, _, err := server.unwrap(token); !errors.Is(err, errWrapToken) {
			t.Errorf("acceptor subkey %t: error %v", subkey, err)
		}
	}
}

func TestCFXRefusesKeys(t *testing.T) {
	for _, key := range []types.EncryptionKey{
		{KeyType: 23, KeyValue: make([]byte, 16)}, // RC4
		{KeyType: 16, KeyValue: make([]byte, 24)}, // 3DES
		{KeyType: 18, KeyValue: make([]byte, 16)},
		{KeyType: 20, KeyValue: make([]byte, 24)},
		{KeyType: 17},
		{},
	} {
		if _, err := newCFX(key, false, 0, 0); err == nil {
			t.Errorf("enctype %d with %d octets makes a context", key.KeyType, len(key.KeyValue))
		}
	}
}

// TestCFXAgainstLibrary opens an encrypted token with the library's own
// decryption, which derives all keys itself, and checks a checksum with it.
func TestCFXAgainstLibrary(t *testing.T) {
	for _, etype := range cfxEtypes {
		key, err := newSubkey(etype)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newCFX(key, false, 3, 0)
		if err == nil {
			err = c.prepare()
		}
		if err != nil {
			t.Fatal(err)
		}
		token := c.wrap(text(40), true)
		inner, err := crypto.DecryptMessage(token[cfxHeaderSize:], key, usageAcceptorSeal)
		if err != nil || !bytes.Equal(inner, append(text(40), token[:cfxHeaderSize]...)) {
			t.Errorf("etype %d: the library opens it as %x, error %v", etype, inner, err)
		}
		token = c.wrap(text(40), false)
		header := bytes.Clone(token[:cfxHeaderSize])
		header[4], header[5] = 0, 0
		n := len(token) - c.kind.macSize
		signed := append(bytes.Clone(token[cfxHeaderSize:n]), header...)
		library, err := crypto.GetEtype(etype)
		if err != nil {
			t.Fatal(err)
		}
		if !library.VerifyChecksum(key.KeyValue, signed, token[n:], usageAcceptorSeal) {
			t.Errorf("etype %d: the library finds the checksum wrong", etype)
		}
	}
}

// What is sealed here the library opens, and the other way round.
func TestSealAgainstLibrary(t *testing.T) {
	for _, etype := range defaultEtypes {
		key, err := newSubkey(etype)
		if err != nil {
			t.Fatal(err)
		}
		for usage := uint32(1); usage <= maxUsage; usage++ {
			for n := 0; n < 50; n += 7 {
				own, err := seal(key, usage, 3, text(n))
				if err != nil {
					t.Fatal(err)
				}
				plain, err := crypto.DecryptMessage(own.Cipher, key, usage)
				if err != nil || !bytes.Equal(plain, text(n)) || own.KVNO != 3 || own.EType != etype {
					t.Fatalf("etype %d, usage %d: the library opens it as %x, error %v", etype, usage, plain, err)
				}
				theirs, err := crypto.GetEncryptedData(text(n), key, usage, 0)
				if err != nil {
					t.Fatal(err)
				}
				if plain, err := unseal(key, usage, theirs); err != nil || !bytes.Equal(plain, text(n)) {
					t.Fatalf("etype %d, usage %d: opened the library's as %x, error %v", etype, usage, plain, err)
				}
				if plain, err := unseal(key, usage%maxUsage+1, theirs); err == nil {
					t.Fatalf("etype %d: opened what usage %d sealed as %x with another", etype, usage, plain)
				}
			}
		}
	}
}

// A ciphertext that is cut or changed anywhere does not open, and does no harm.
func TestUnsealDamaged(t *testing.T) {
	for _, etype := range defaultEtypes {
		key, err := newSubkey(etype)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := seal(key, 11, 0, text(40))
		if err != nil {
			t.Fatal(err)
		}
		for i := range sealed.Cipher {
			cut, changed := sealed, sealed
			cut.Cipher = sealed.Cipher[:i]
			changed.Cipher = bytes.Clone(sealed.Cipher)
			changed.Cipher[i] ^= 0x10
			for _, e := range []types.EncryptedData{cut, changed} {
				if plain, err := unseal(key, 11, e); err == nil {
					t.Fatalf("etype %d: %x opens as %x", etype, e.Cipher, plain)
				}
			}
		}
	}
}

func TestCTSAgainstLibrary(t *testing.T) {
	key := text(32)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	for n := 17; n < 100; n++ {
		_, want, err := (crypto.Aes256CtsHmacSha96{}).EncryptData(key, text(n))
		if err != nil {
			t.Fatal(err)
		}
		b := text(n)
		ctsEncrypt(block, b)
		if !bytes.Equal(b, want) {
			t.Errorf("%d octets encrypted: %x, want %x", n, b, want)
		}
		ctsDecrypt(block, b)
		if !bytes.Equal(b, text(n)) {
			t.Errorf("%d octets decrypted: %x", n, b)
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	keys := map[int32]types.EncryptionKey{}
	for _, etype := range cfxEtypes {
		key := types.EncryptionKey{KeyType: etype, KeyValue: text(keyLength(etype))}
		keys[etype] = key
		client := initiatorCFX(f, key, true, 0, 0)
		for _, seal := range []bool{false, true} {
			client.sendSeq = 0
			token := client.wrap(text(20), seal)
			f.Add(etype, token)
			f.Add(etype, rotate(token, 28))
		}
	}
	f.Fuzz(func(t *testing.T, etype int32, token []byte) {
		key, ok := keys[etype]
		if !ok {
			return
		}
		server, err := newCFX(key, true, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		plain, sealed, err := server.unwrap(token)
		if err == nil && len(plain)+server.overhead(sealed) > len(token) {
			t.Fatalf("%d octets came out of %d", len(plain), len(token))
		}
		if err == nil && server.recvSeq != 1 || err != nil && server.recvSeq != 0 {
			t.Fatalf("error %v, next sequence number %d", err, server.recvSeq)
		}
	})
}

func BenchmarkCFX(b *testing.B) {
	for _, etype := range cfxEtypes {
		for _, seal := range []bool{false, true} {
			for _, n := range []int{100, 16 << 10} {
				b.Run(fmt.Sprintf("etype%d/seal=%t/%d", etype, seal, n), func(b *testing.B) {
					client, server := cfxPair(b, etype)
					plain := text(n)
					b.SetBytes(int64(n))
					b.ReportAllocs()
					for b.Loop() {
						if _, _, err := client.unwrap(server.wrap(plain, seal)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
