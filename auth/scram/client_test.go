package scram_test

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kpopd/auth"
	"kpopd/auth/scram"
)

var b64 = base64.StdEncoding.EncodeToString

func hashOf(name string) func() hash.Hash {
	if name == scram.SHA1 {
		return sha1.New
	}
	return sha256.New
}

func mac(name string, key []byte, text string) []byte {
	h := hmac.New(hashOf(name), key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func sum(name string, b []byte) []byte {
	h := hashOf(name)()
	h.Write(b)
	return h.Sum(nil)
}

// salted caches what takes long: the same keys are used by many clients.
var salted sync.Map

func saltedPassword(name, password string, salt []byte, iterations int) []byte {
	key := fmt.Sprint(name, password, salt, iterations)
	if b, ok := salted.Load(key); ok {
		return b.([]byte)
	}
	b, err := pbkdf2.Key(hashOf(name), password, salt, iterations, hashOf(name)().Size())
	if err != nil {
		panic(err)
	}
	salted.Store(key, b)
	return b
}

// A client is one of SCRAM that follows RFC 5802 §3 step by step.
type client struct {
	hash, user, password, authzid string
	flag                          string // gs2-cbind-flag
	data                          []byte // of the channel binding
	extension                     string // behind the nonce
	nonce                         string // "": a random one

	bare, message, challenge string
	salted                   []byte
	verified                 bool
}

func escape(name string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name) }

func (c *client) header() string {
	h := c.flag + ","
	if c.authzid != "" {
		h += "a=" + escape(c.authzid)
	}
	return h + ","
}

func (c *client) Start() (string, []byte, error) {
	if c.nonce == "" {
		c.nonce = rand.Text()
	}
	c.bare = "n=" + escape(c.user) + ",r=" + c.nonce + c.extension
	return "SCRAM", []byte(c.header() + c.bare), nil
}

func (c *client) Next(challenge []byte) ([]byte, error) {
	if c.salted != nil {
		want := "v=" + b64(mac(c.hash, mac(c.hash, c.salted, "Server Key"), c.message))
		if string(challenge) != want {
			return nil, errors.New("the server's signature is wrong")
		}
		c.verified = true
		return []byte{}, nil
	}
	if len(challenge) == 0 {
		return nil, errors.New("an empty challenge")
	}
	return c.final(string(challenge))
}

func (c *client) final(challenge string) ([]byte, error) {
	c.challenge = challenge
	fields := strings.Split(challenge, ",")
	if len(fields) != 3 || !strings.HasPrefix(fields[0], "r="+c.nonce) {
		return nil, fmt.Errorf("server-first-message is %q", challenge)
	}
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	iterations, err2 := strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("server-first-message is %q", challenge)
	}
	c.salted = saltedPassword(c.hash, c.password, salt, iterations)
	without := "c=" + b64(append([]byte(c.header()), c.data...)) + "," + fields[0]
	c.message = c.bare + "," + challenge + "," + without
	key := mac(c.hash, c.salted, "Client Key")
	proof := mac(c.hash, sum(c.hash, key), c.message)
	subtle.XORBytes(proof, proof, key)
	return []byte(without + ",p=" + b64(proof)), nil
}

// memory are Keys in a map from users to passwords. Users in refused have
// keys, but are not admitted for this reason.
type memory struct {
	passwords  map[string]string
	refused    map[string]error
	iterations int
}

func (m *memory) SCRAMParameters(string) (int, int) { return m.iterations, 16 }

func (m *memory) SCRAM(ctx context.Context, _ auth.Peer, user, hash string) (auth.SCRAMUser, error) {
	if ctx.Err() != nil {
		return auth.SCRAMUser{}, auth.Refuse(auth.ErrUnavailable, "canceled")
	}
	user, _ = auth.Prepare(user)
	password, ok := m.passwords[user]
	if !ok {
		return auth.SCRAMUser{}, auth.ErrUnknown
	}
	keys := keysOf(hash, password, []byte("salt of " + user + "        ")[:16], m.iterations)
	return admitted(keys, auth.Identity{User: user, Source: "memory"}, m.refused[user]), nil
}

func admitted(keys auth.SCRAMKeys, id auth.Identity, err error) auth.SCRAMUser {
	return auth.SCRAMUser{Keys: keys, Admit: func(context.Context) (auth.Identity, error) { return id, err }}
}

func keysOf(hash, password string, salt []byte, iterations int) auth.SCRAMKeys {
	s := saltedPassword(hash, password, salt, iterations)
	return auth.SCRAMKeys{
		Iterations: iterations, Salt: salt,
		StoredKey: sum(hash, mac(hash, s, "Client Key")), ServerKey: mac(hash, s, "Server Key"),
	}
}

// newMechanism is SCRAM-SHA-256 for alice, "secret", and others.
func newMechanism() *scram.Mechanism {
	return &scram.Mechanism{Hash: scram.SHA256, Secret: []byte("of the tests"), Keys: &memory{
		passwords: map[string]string{"alice": "secret", "a,b=c": "odd", "j\u00fcrgen": "umlaut", "far": "secret"},
		refused: map[string]error{
			"far": auth.Refuse(auth.ErrCredentials, "address-not-allowed"),
		},
		iterations: 4096,
	}}
}

func alice() *client {
	return &client{hash: scram.SHA256, user: "alice", password: "secret", flag: "n"}
}

// run lets c talk to m at p and returns the identity that it proves.
func run(t testing.TB, m *scram.Mechanism, p auth.Peer, c *client) (auth.Identity, error) {
	t.Helper()
	x := m.Start(t.Context(), p)
	_, response, _ := c.Start()
	for {
		challenge, done, err := x.Next(response)
		if err != nil {
			if id := x.Identity(); id.User != "" {
				t.Errorf("refused (%v), but proves %+v", err, id)
			}
			return auth.Identity{}, err
		}
		if response, err = c.Next(challenge); err != nil {
			t.Fatal(err)
		}
		if done {
			return x.Identity(), nil
		}
	}
}
