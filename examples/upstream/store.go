package main

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxKept bounds what the example keeps of each kind, so that it can be left
// running.
const maxKept = 10_000

var (
	errFull     = errors.New("the example is full; start it again")
	errNoName   = errors.New("a name is required")
	errNoItem   = errors.New("an item is required")
	errNotFound = errors.New("there is none with this id")
)

type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type order struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Item string `json:"item"`
}

// store keeps users and orders in memory.
type store struct {
	mu     sync.Mutex
	users  map[string]user
	orders map[string]order
	last   int
}

func newStore() *store {
	return &store{
		users:  map[string]user{"1": {"1", "Ada"}, "2": {"2", "Grace"}},
		orders: map[string]order{"3": {"3", "1", "difference engine"}},
		last:   3,
	}
}

func (s *store) listUsers() []user {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.users), func(a, b user) int { return compareIDs(a.ID, b.ID) })
}

func (s *store) listOrders() []order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.orders), func(a, b order) int { return compareIDs(a.ID, b.ID) })
}

func (s *store) user(id string) (user, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[id]
	if !ok {
		return user{}, errNotFound
	}
	return u, nil
}

func (s *store) addUser(name string) (user, error) {
	if strings.TrimSpace(name) == "" {
		return user{}, errNoName
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.users) >= maxKept {
		return user{}, errFull
	}
	u := user{ID: s.nextID(), Name: name}
	s.users[u.ID] = u
	return u, nil
}

func (s *store) deleteUser(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.users[id]; !ok {
		return errNotFound
	}
	delete(s.users, id)
	return nil
}

func (s *store) addOrder(userID, item string) (order, error) {
	if strings.TrimSpace(item) == "" {
		return order{}, errNoItem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.users[userID]; !ok {
		return order{}, errNotFound
	}
	if len(s.orders) >= maxKept {
		return order{}, errFull
	}
	o := order{ID: s.nextID(), User: userID, Item: item}
	s.orders[o.ID] = o
	return o, nil
}

// search returns the users whose name contains text, whatever the letter case.
func (s *store) search(text string) []user {
	found := []user{}
	for _, u := range s.listUsers() {
		if strings.Contains(strings.ToLower(u.Name), strings.ToLower(text)) {
			found = append(found, u)
		}
	}
	return found
}

// nextID is called with mu held.
func (s *store) nextID() string {
	s.last++
	return strconv.Itoa(s.last)
}

// compareIDs orders 9 before 10: ids are decimal numbers without leading zeros.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
