package config

import (
	"fmt"
	"strings"
)

// didYouMean returns " Did you mean …?" with the name that is nearest to what
// was given, or "" if none is near.
func didYouMean(given string, names []string) string {
	best, limit := "", max(2, len(given)/3)
	for _, name := range names {
		if len(given) >= 3 && strings.HasPrefix(name, strings.ToLower(given)) {
			return fmt.Sprintf(" Did you mean %q?", name)
		}
		if d := distance(strings.ToLower(given), strings.ToLower(name)); d <= limit {
			best, limit = name, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// distance is the Levenshtein distance of two short strings, in bytes.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// oneOfThese lists names for a message: "a", "b" or "c".
func oneOfThese(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}
