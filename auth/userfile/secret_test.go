package userfile_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"kpopd/auth"
	"kpopd/auth/userfile"
)

// A vector is a hash that other software made of a password.
type vector struct{ name, secret, password string }

func vectors() []vector {
	return []vector{
		{"openssl passwd -6", "{SHA512-CRYPT}" + sha512Hash, "Hello world!"},
		{"openssl passwd -6, as CRYPT", "{CRYPT}" + sha512Hash, "Hello world!"},
		{"openssl passwd -5", "{SHA256-CRYPT}$5$abcdefgh$UUoko/Tf0b.8LrDH6BE28ZvVbc7xd//GfzsD0NKugU7", "hello"},
		{"SHA-crypt.txt, rounds", "{CRYPT}$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA", "Hello world!"},
		{"crypt(3) $2b$", "{BLF-CRYPT}$2b$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6", "pw"},
		{"crypt(3) $2y$", "{BCRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6", "pw"},
		{"libargon2", "{ARGON2ID}$argon2id$v=19$m=256,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$hxPLLiBpfa57qgxuWv9vyCQmEygKFVJ60hWMl7OF4Jo", "correct horse battery staple"},
		{"RFC 7677 §3", "{SCRAM-SHA-256}" + pencil, "pencil"},
		{"gsasl --mkpasswd", "{SCRAM-SHA-1}" + pencil1, "pencil"},
		{"doveadm pw -s CRAM-MD5", "{CRAM-MD5}" + dovecotCRAM, "tanstaaftanstaaf"},
		{"doveadm pw -s CRAM-MD5, longer than a block", "{CRAM-MD5}52197db948d0932512a61b183e7d05b04e94d60a3bb0d00f92d3df52a5d275ca", strings.Repeat("x", 100)},
		{"plain", "{PLAIN}with {braces}", "with {braces}"},
		{"plain, base64", "{CLEARTEXT.BASE64}dGFu", "tan"},
		{"plain, hex", "{plain.hex}74616E", "tan"},
		{"SHA-crypt, base64", "{SHA512-CRYPT.b64}" + base64.StdEncoding.EncodeToString([]byte(sha512Hash)), "Hello world!"},
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.name, func(t *testing.T) {
			f := open(t, "user:"+v.secret)
			wants(t, f, "user", v.password, "")
			for _, wrong := range []string{
				"", "x", v.password + "x", v.password + "\x00", v.password + "\x00" + v.password, "\x00", strings.ToUpper(v.password),
			} {
				wants(t, f, "user", wrong, "wrong-password")
			}
		})
	}
}

// The keys of RFC 7677's example are right when its client's proof and its
// server's signature are.
func TestSCRAMKeys(t *testing.T) {
	f := open(t, "user:{SCRAM-SHA-256}"+pencil)
	keys := keysOf(t, f, "user")
	if keys.Iterations != 4096 || base64.StdEncoding.EncodeToString(keys.Salt) != "W22ZaJ0SNY7soEsUEjb6gQ==" {
		t.Fatalf("%d iterations, salt %x", keys.Iterations, keys.Salt)
	}
	const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	message := "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=" + nonce
	sign := func(key []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(message))
		return h.Sum(nil)
	}
	if v := base64.StdEncoding.EncodeToString(sign(keys.ServerKey)); v != "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("server signature %s", v)
	}
	proof, err := base64.StdEncoding.DecodeString("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	if err != nil {
		t.Fatal(err)
	}
	subtle.XORBytes(proof, proof, sign(keys.StoredKey))
	if key := sha256.Sum256(proof); string(key[:]) != string(keys.StoredKey) {
		t.Error("the proof does not yield the stored key")
	}
}

// Nothing that a line says can make one login cost more than about a second.
func TestRefusedSecrets(t *testing.T) {
	const key43, salt16 = "hxPLLiBpfa57qgxuWv9vyCQmEygKFVJ60hWMl7OF4Jo", "c2FsdHNhbHRzYWx0c2FsdA"
	argon := func(params string) string { return "{ARGON2ID}$argon2id$v=19$" + params + "$" + salt16 + "$" + key43 }
	bcrypt53 := "CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6"
	key86 := sha512Hash[strings.LastIndexByte(sha512Hash, '$')+1:]
	b64 := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, test := range []struct{ secret, message string }{
		{"", "no {SCHEME}"},
		{"hunter2", "no {SCHEME}"},
		{"$6$salt$hunter2", "no {SCHEME}"},
		{"{PLAIN", "no {SCHEME}"},
		{"{}hunter2", "unknown scheme"},
		{"{hunter2}hunter2", "unknown scheme"},
		{"{SSHA}hunter2", "scheme SSHA is not supported"},
		{"{md5-crypt}hunter2", "scheme MD5-CRYPT is not supported"},
		{"{SCRAM-SHA-1}hunter2", "scheme SCRAM-SHA-1: malformed hash"},
		{"{SCRAM-SHA-1}4096,AAAAAAAAAAA=," + b64 + "," + b64, "malformed"},
		{"{CRAM-MD5}hunter2", "scheme CRAM-MD5: malformed hash"},
		{"{CRAM-MD5}" + dovecotCRAM[2:], "malformed"},
		{"{CRAM-MD5}" + dovecotCRAM + "00", "malformed"},
		{"{PLAIN}", "scheme PLAIN: empty"},
		{"{PLAIN.b64}%%%", "wrongly encoded"},
		{"{PLAIN.hex}7", "wrongly encoded"},
		{"{PLAIN.rot13}uhagre2", "unknown encoding"},
		{"{PLAIN.b64}AA==", "a NUL"},
		{"{PLAIN}" + strings.Repeat("x", 1025), "longer"},
		{"{CRYPT}ab1234567890.", "unsupported kind"},
		{"{CRYPT}$1$salt$hunter2", "unsupported kind"},
		{"{SHA512-CRYPT}$5$salt$x", "does not begin with $6$"},
		{"{ARGON2ID}$argon2i$v=19$m=64,t=3,p=1$c2FsdHlzYWx0eQ$8GKUr2qDOsDKLR7VBna0ckkUFcsuQ3k0Ad7k8+Qy8cc", "does not begin"},
		{argon("m=262145,t=1,p=1"), "costs more"},
		{argon("m=262144,t=5,p=1"), "costs more"},
		{argon("m=64,t=1000000,p=1"), "costs more"},
		{argon("m=4096,t=1,p=17"), "costs more"},
		{argon("m=7,t=1,p=1"), "malformed"},
		{argon("m=64,t=0,p=1"), "malformed"},
		{argon("m=64,t=1,p=0"), "malformed"},
		{argon("m=-64,t=1,p=1"), "malformed"},
		{argon("m=9999999999999,t=1,p=1"), "malformed"},
		{argon("m=64,t=1"), "malformed"},
		{argon("m=64,t=1,p=1,k=1"), "malformed"},
		{argon("t=1,m=64,p=1"), "malformed"},
		{"{ARGON2ID}$argon2id$v=16$m=64,t=1,p=1$" + salt16 + "$" + key43, "malformed"},
		{"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$$" + key43, "salt"},
		{"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$", "malformed"},
		{"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$AAAA", "hash is not"},
		{"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$!$" + key43, "malformed"},
		{"{CRYPT}$argon2d$v=19$m=64,t=1,p=1$" + salt16 + "$" + key43, "malformed"},
		{"{BLF-CRYPT}$2y$16$" + bcrypt53, "cost"},
		{"{BLF-CRYPT}$2y$31$" + bcrypt53, "cost"},
		{"{BLF-CRYPT}$2y$03$" + bcrypt53, "cost"},
		{"{BLF-CRYPT}$2y$5$" + bcrypt53, "malformed"},
		{"{BLF-CRYPT}$2x$05$" + bcrypt53, "malformed"},
		{"{BLF-CRYPT}$2$05$" + bcrypt53, "malformed"},
		{"{BLF-CRYPT}$2y$05$" + bcrypt53[1:], "malformed"},
		{"{BLF-CRYPT}$2y$05$!" + bcrypt53[1:], "malformed"},
		{"{SHA512-CRYPT}$6$rounds=999$salt$" + key86, "rounds"},
		{"{SHA512-CRYPT}$6$rounds=1000001$salt$" + key86, "rounds"},
		{"{SHA512-CRYPT}$6$rounds=x$salt$" + key86, "malformed"},
		{"{SHA512-CRYPT}$6$rounds=5000$" + key86, "malformed"},
		{"{SHA512-CRYPT}$6$saltsaltsaltsalts$" + key86, "malformed"},
		{"{SHA512-CRYPT}$6$$" + key86, "malformed"},
		{"{SHA512-CRYPT}$6$salt$" + key86[1:], "malformed"},
		{"{SHA512-CRYPT}$6$salt$!" + key86[1:], "malformed"},
		{"{SCRAM-SHA-256}4095,AAAAAAAAAAA=," + b64 + "," + b64, "iterations"},
		{"{SCRAM-SHA-256}2000001,AAAAAAAAAAA=," + b64 + "," + b64, "iterations"},
		{"{SCRAM-SHA-256}-1,AAAAAAAAAAA=," + b64 + "," + b64, "malformed"},
		{"{SCRAM-SHA-256}4096,," + b64 + "," + b64, "malformed"},
		{"{SCRAM-SHA-256}4096,AAAAAAAAAAA=,AAAA," + b64, "malformed"},
		{"{SCRAM-SHA-256}4096,AAAAAAAAAAA=," + b64, "malformed"},
		{"{SCRAM-SHA-256}4096,AAAAAAAAAAA=," + b64 + "," + b64 + ",", "malformed"},
	} {
		_, err := userfile.ParseSecret(test.secret)
		if err == nil || !strings.Contains(err.Error(), test.message) {
			t.Errorf("%s: error %v, want %q", test.secret, err, test.message)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: the error repeats it: %v", test.secret, err)
		}
	}
}

func TestHash(t *testing.T) {
	for _, test := range []struct{ scheme, prefix string }{
		{"", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=4$"},
		{"bcrypt", "{BLF-CRYPT}$2b$10$"},
		{"SHA512-CRYPT", "{SHA512-CRYPT}$6$rounds=50000$"},
		{"SHA256-CRYPT", "{SHA256-CRYPT}$5$rounds=50000$"},
		{"SCRAM-SHA-256", "{SCRAM-SHA-256}16384,"},
		{"scram-sha-1", "{SCRAM-SHA-1}16384,"},
		{"CRAM-MD5", "{CRAM-MD5}"},
		{"PLAIN", "{PLAIN}"},
	} {
		const password = "a: {b}$c"
		hash, err := userfile.Hash(test.scheme, password)
		if err != nil || !strings.HasPrefix(hash, test.prefix) && test.scheme != "PLAIN" {
			t.Errorf("%s: %q, %v", test.scheme, hash, err)
			continue
		}
		f := open(t, "alice:"+hash+":1000:1000::::")
		wants(t, f, "alice", password, "")
		wants(t, f, "alice", password+"x", "wrong-password")
	}
	first, _ := userfile.Hash("SCRAM-SHA-256", "x")
	if second, _ := userfile.Hash("SCRAM-SHA-256", "x"); first == second {
		t.Error("the same salt twice")
	}
}

func TestHashRefuses(t *testing.T) {
	for _, test := range []struct{ scheme, password string }{
		{"PLAIN", ""}, {"PLAIN", "a\x00b"}, {"PLAIN", strings.Repeat("x", 1025)},
		{"BLF-CRYPT", strings.Repeat("x", 73)}, {"MD5-CRYPT", "x"}, {"CRYPT", "x"},
	} {
		if hash, err := userfile.Hash(test.scheme, test.password); err == nil {
			t.Errorf("%s of %d octets: %s", test.scheme, len(test.password), hash)
		}
	}
}

// FuzzSecret: no value panics, none that is taken costs too much, and no error
// repeats any of it.
func FuzzSecret(f *testing.F) {
	for _, v := range vectors() {
		name, value, _ := strings.Cut(v.secret[1:], "}")
		f.Add(name, value)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		const canary = "c4n4ry-"
		s, err := userfile.ParseSecret("{" + name + "}" + value)
		if err == nil && s.Memory() > userfile.MaxMemory {
			t.Errorf("uses %d octets", s.Memory())
		}
		for _, line := range []string{"{" + name + "}" + canary + value, "{" + canary + name + "}" + value, canary + value} {
			if _, err := userfile.ParseSecret(line); err != nil && strings.Contains(strings.ToLower(err.Error()), canary) {
				t.Errorf("the error repeats the line: %v", err)
			}
		}
	})
}

// FuzzVerify: no password panics, or matches where it should not.
func FuzzVerify(f *testing.F) {
	f.Add("pencil")
	f.Add("pw\x00pw")
	f.Add("stra\xdfe\x00")
	f.Add(strings.Repeat("\u00ad", 80))
	users := make(map[string]string)
	var lines []string
	for i, v := range vectors() {
		if strings.Contains(v.name, "crypt") {
			continue // slow
		}
		user := fmt.Sprint("user", i)
		users[user], lines = v.password, append(lines, user+":"+v.secret)
	}
	file := open(f, lines...)
	f.Fuzz(func(t *testing.T, password string) {
		prepared, _ := auth.Prepare(password)
		for user, want := range users {
			right := password == want || prepared == want
			if got := try(file, user, password); (got == "") != right {
				t.Errorf("%s with %q: %q", user, password, got)
			}
		}
	})
}
