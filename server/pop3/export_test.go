package pop3

import (
	"io"
	"strings"

	"kpopd/maildrop"
)

// What tests reach without a session around it.
var (
	NewTop = newTop
	Number = number
)

// Catalogues returns the catalogue of each language but English, by its tag.
func Catalogues() map[string]map[Text]string {
	all := make(map[string]map[Text]string)
	for _, l := range languages() {
		if l.texts != nil {
			all[l.tag] = l.texts
		}
	}
	return all
}

// MatchLanguage returns the tag of the language that LANG selects, or "".
func MatchLanguage(lang, preferred string) string {
	l, _ := matchLanguage(lang, preferred)
	return l.tag
}

// Surrogate returns the surrogate of a message, or false where there is none.
func Surrogate(text string) (string, bool, error) {
	h, err := readHead(strings.NewReader(text))
	if err != nil {
		return "", false, err
	}
	c, ok, err := h.surrogate(maildrop.Content{ReadCloser: io.NopCloser(strings.NewReader(text))})
	if err != nil || !ok {
		return "", ok, err
	}
	all, err := io.ReadAll(c)
	return string(all), true, err
}
