package pop3

import (
	"context"
	"strings"
)

// A Text is what a reply says to a person, in English: one line of ASCII, for
// some a format. The catalogues have it in the other languages.
type Text string

// A language is one that replies can be in. The zero language is the English of
// the program itself, which is what a session begins in: before LANG, no reply
// has a character beyond ASCII (RFC 6856 §3).
type language struct {
	tag   string // RFC 5646
	name  string // of the language, in it
	texts map[Text]string
}

// languages are all that there are, in the order of their tags.
func languages() []language {
	return []language{
		{"de", "Deutsch", german},
		{"en", "English", nil},
		{"es", "Español", spanish},
		{"fr", "Français", french},
		{"ja", "日本語", japanese},
	}
}

// words are those of t in the language of the session.
func (s *session) words(t Text) string {
	if words, ok := s.lang.texts[t]; ok {
		return words
	}
	return string(t)
}

// language is the LANG command (RFC 6856 §3): without an argument it lists the
// languages, with a language range it goes over to one of them. Where that
// fails, replies stay in the language that they are in.
func (s *session) language(_ context.Context, args []string) error {
	if len(args) == 0 {
		return s.listLanguages()
	}
	l, ok := matchLanguage(args[0], s.h.Language)
	if !ok {
		return s.count(refuse("", "This language is not spoken here"))
	}
	s.lang = l
	s.c.Printf("+OK %s %s\r\n", l.tag, s.words("Language is changed"))
	return nil
}

func (s *session) listLanguages() error {
	s.ok("Languages follow")
	for _, l := range languages() {
		s.c.Printf("%s %s\r\n", l.tag, l.name)
	}
	s.c.Printf(".\r\n")
	return nil
}

// matchLanguage finds the language of a basic language range by lookup (RFC 4647
// §3.4): de-CH-1996 is looked for as de-CH and as de. "*" is the language that
// the administrator prefers; it depends on nobody's name, so that no user shows
// by it (RFC 6856 §7). i-default is for whoever has no language yet, and in
// English (RFC 2277 §4.5).
func matchLanguage(lang, preferred string) (language, bool) {
	switch {
	case lang == "*" && preferred == "", strings.EqualFold(lang, "i-default"):
		lang = "en"
	case lang == "*":
		lang = preferred
	}
	if !isLanguageRange(lang) {
		return language{}, false
	}
	for lang != "" {
		for _, l := range languages() {
			if strings.EqualFold(l.tag, lang) {
				return l, true
			}
		}
		lang = lang[:max(0, strings.LastIndexByte(lang, '-'))]
	}
	return language{}, false
}

// isLanguageRange reports whether s is a basic language range (RFC 4647 §2.1),
// but for "*": subtags of 1 to 8 letters, and behind the first digits too.
func isLanguageRange(s string) bool {
	for i, subtag := range strings.Split(s, "-") {
		if len(subtag) < 1 || len(subtag) > 8 {
			return false
		}
		for _, c := range []byte(subtag) {
			letter := 'a' <= c|0x20 && c|0x20 <= 'z'
			if digit := '0' <= c && c <= '9'; !letter && (i == 0 || !digit) {
				return false
			}
		}
	}
	return true
}

// IsLanguage reports whether replies can be in the language with this tag.
func IsLanguage(tag string) bool {
	for _, l := range languages() {
		if l.tag == tag {
			return true
		}
	}
	return false
}
