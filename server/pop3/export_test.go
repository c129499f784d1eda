package pop3

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
