package auth

import (
	"container/list"
	"time"
)

// An lru is a bounded map whose entries end: at their time, or when there are
// too many, the one used longest ago. Libraries choose whom to admit by how
// often he comes, and may drop the answer that a caller is about to rely on.
type lru[K comparable, V any] struct {
	max   int
	items map[K]*list.Element
	order list.List // of lruItem, the one used last in front
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

func newLRU[K comparable, V any](max int) *lru[K, V] {
	return &lru[K, V]{max: max, items: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(key K, now time.Time) (value V, ok bool) {
	e, ok := l.items[key]
	if !ok {
		return value, false
	}
	item := e.Value.(*lruItem[K, V])
	if !now.Before(item.until) {
		l.drop(key)
		return value, false
	}
	l.order.MoveToFront(e)
	return item.value, true
}

func (l *lru[K, V]) set(key K, value V, until time.Time) {
	if e, ok := l.items[key]; ok {
		e.Value = &lruItem[K, V]{key, value, until}
		l.order.MoveToFront(e)
		return
	}
	l.items[key] = l.order.PushFront(&lruItem[K, V]{key, value, until})
	if len(l.items) > l.max {
		l.drop(l.order.Back().Value.(*lruItem[K, V]).key)
	}
}

func (l *lru[K, V]) drop(key K) {
	if e, ok := l.items[key]; ok {
		l.order.Remove(e)
		delete(l.items, key)
	}
}
