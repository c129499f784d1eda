package config

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
)

// folderOf cuts the name of a maildrop at the first separator. ok: it names a
// folder of the maildrop called owner.
func (m *Maildrop) folderOf(name string) (owner, folder string, ok bool) {
	if m.FolderSeparator == "" {
		return name, "", false
	}
	return strings.Cut(name, m.FolderSeparator)
}

// folderDir returns the directory of a folder in a Maildir, as Maildir++ has it:
// ".Lists.Go" for "Lists.Go". No two folders share one, and none is the inbox,
// which is the Maildir itself: INBOX and what is said to be below it is
// refused, and so are empty parts and slashes. [ErrName]
func folderDir(folder string) (string, error) {
	parts := strings.Split(folder, ".")
	for _, part := range parts {
		if part == "" || strings.Contains(part, "/") {
			return "", fmt.Errorf("%w: folder %q", ErrName, folder)
		}
	}
	if strings.EqualFold(parts[0], "INBOX") {
		return "", fmt.Errorf("%w: the inbox is no folder, but the maildrop itself", ErrName)
	}
	dir := "." + modifiedUTF7(folder)
	if len(dir) > maxComponent {
		return "", fmt.Errorf("%w: too long", ErrName)
	}
	return dir, nil
}

// modifiedBase64 is that of RFC 3501 §5.1.3: "," instead of "/".
var modifiedBase64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// modifiedUTF7 encodes s, which is valid UTF-8, as IMAP names mailboxes.
// RFC 3501 §5.1.3.
func modifiedUTF7(s string) string {
	var out strings.Builder
	var shifted []rune // what is not yet written, in base64
	flush := func() {
		if len(shifted) == 0 {
			return
		}
		var octets []byte
		for _, u := range utf16.Encode(shifted) {
			octets = append(octets, byte(u>>8), byte(u))
		}
		out.WriteString("&" + modifiedBase64.EncodeToString(octets) + "-")
		shifted = shifted[:0]
	}
	for _, r := range s {
		switch {
		case r < 0x20 || r > 0x7e:
			shifted = append(shifted, r)
			continue
		case r == '&':
			flush()
			out.WriteString("&-")
			continue
		}
		flush()
		out.WriteRune(r)
	}
	flush()
	return out.String()
}
