package main

import (
	"fmt"
	"strconv"
	"time"

	"kpopd/auth"
	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/pace"
)

// policy is on what terms a maildrop is opened: those of the account rule that
// gave it, and of the retention block that names it.
func (b *builder) policy(g auth.Grant) maildrop.Policy {
	p := maildrop.Policy{Expire: b.file.Expire(g.Maildrop)}
	if a, ok := g.Terms.(*config.Account); ok {
		p.LoginDelay = a.LoginDelay
		p.Deletion, p.Keep = deletions[a.Deletion], a.Quarantine
		p.MarkSeen = a.MarkSeen
	}
	if b.next.logins != nil {
		p.Logins = loginsByPlace{b.next.logins, b.file.Maildrop.RelPath}
	}
	return p
}

var deletions = map[config.Deletion]maildrop.Deletion{
	config.DeletionRemove:     maildrop.DeleteRemove,
	config.DeletionHide:       maildrop.DeleteHide,
	config.DeletionQuarantine: maildrop.DeleteQuarantine,
}

// allPolicies are on what terms anybody can have a maildrop, as far as clients
// are told before they log in.
func (b *builder) allPolicies() (all []maildrop.Policy) {
	for _, expire := range b.file.Expires() {
		for _, delay := range b.file.LoginDelays() {
			all = append(all, maildrop.Policy{Expire: expire, LoginDelay: delay})
		}
	}
	return all
}

// loginsByPlace remember logins by where a maildrop is kept, as byPlace locks.
type loginsByPlace struct {
	*pace.Logins
	place func(name string) (string, error)
}

// Last implements [maildrop.Logins].
func (l loginsByPlace) Last(name string) time.Time { return l.Logins.Last(l.key(name)) }

// Note implements [maildrop.Logins].
func (l loginsByPlace) Note(name string, at time.Time) { l.Logins.Note(l.key(name), at) }

func (l loginsByPlace) key(name string) string {
	place, err := l.place(name)
	if err != nil {
		return name // which could not be locked either
	}
	return lockName(place)
}

// sayTerms tells a policy in the words of the configuration.
func sayTerms(p maildrop.Policy) *termsSays {
	says := &termsSays{}
	switch {
	case p.Expire == maildrop.Never:
		says.Expire = "never"
	case p.Expire > 0:
		says.Expire = fmt.Sprintf("%dd", p.Expire)
	}
	if p.LoginDelay > 0 {
		says.LoginDelay = p.LoginDelay.String()
	}
	for word, d := range deletions {
		if p.Deletion == d && d != maildrop.DeleteRemove {
			says.Deletion = string(word)
		}
	}
	if p.Deletion == maildrop.DeleteQuarantine {
		says.Quarantine = fmt.Sprintf("%dd", p.Keep)
	}
	if p.MarkSeen {
		says.MarkSeen = "true"
	}
	return says
}

// bound tells a quota.
func (x *termsSays) bound(q maildrop.Quota) {
	if q.Octets > 0 {
		x.Quota = fmt.Sprintf("%dMiB", q.Octets>>20)
		if q.Octets%(1<<20) != 0 {
			x.Quota = fmt.Sprintf("%dKiB", q.Octets>>10)
		}
	}
	if q.Messages > 0 {
		x.QuotaMessages = strconv.FormatInt(q.Messages, 10)
	}
}
