package maildrop

import "fmt"

// FewMessages is how many messages a client fetches again before anybody calls
// it a storm.
const FewMessages = 10

// Storm returns [ErrStorm] where too many messages have other unique-ids than
// they had when they were served last: FewMessages, and more than percent of
// those that there were. 0 percent: as 100, never.
func Storm(changed, were, percent int) error {
	if percent == 0 || changed < FewMessages || changed*100 <= were*percent {
		return nil
	}
	return fmt.Errorf("%w: %d of the %d messages that were served last have others now", ErrStorm, changed, were)
}
