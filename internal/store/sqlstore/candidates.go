package sqlstore

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sort"
)

// askedTerms is how many terms are looked up in every part: the rarest. Each
// costs a row of a part, and the keys that have five rare ones are few.
const askedTerms = 5

// candidates are keys that may have all that was asked for.
type candidates struct {
	rest  []int64 // falling
	parts []found // the one with the highest number first
}

// below returns the highest numbers below before, in falling order.
func (c *candidates) below(_ context.Context, before int64, most int) ([]int64, error) {
	at := sort.Search(len(c.rest), func(i int) bool { return c.rest[i] < before })
	all := slices.Clone(c.rest[at:min(len(c.rest), at+most)])
	for i := range c.parts {
		if len(all) == most && c.parts[i].top() < all[most-1] {
			break
		}
		all = c.parts[i].appendBelow(all, before, most)
		slices.SortFunc(all, func(a, b int64) int { return int(b - a) })
		all = slices.Compact(all)
		all = all[:min(len(all), most)]
	}
	return all, nil
}

// inIndex looks for keys that have one of each wanted terms. The rest, those
// of them that no part knows, must have been read before: a key that leaves
// the rest in between is found twice, and not missed.
func (s *Store) inIndex(ctx context.Context, all []wanted, rest []int64) (*candidates, error) {
	all, err := s.rarest(ctx, all)
	if err != nil {
		return nil, err
	}
	c := &candidates{rest: rest}
	err = s.readParts(ctx, everyPart, all, func(p *part) error {
		sets := make([]places, len(all))
		for i, terms := range all {
			if sets[i], err = p.with(terms); err != nil {
				return err
			}
			if sets[0].and(sets[i]); !sets[0].any() {
				return nil
			}
		}
		runs, err := readMembers(p.members, p.size)
		if err == nil {
			c.parts = append(c.parts, found{runs, sets[0]})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(c.parts, func(a, b found) int { return int(b.top() - a.top()) })
	return c, nil
}

// rarest returns those of what is wanted that few keys have, as the oldest and
// the newest part know it.
func (s *Store) rarest(ctx context.Context, all []wanted) ([]wanted, error) {
	if len(all) <= askedTerms {
		return all, nil
	}
	frequent := make(map[*uint32]float64, len(all))
	err := s.readParts(ctx, somePart, all, func(p *part) error {
		for _, terms := range all {
			set, err := p.with(terms)
			if err != nil {
				return err
			}
			frequent[&terms[0]] += float64(set.count()) / float64(p.size)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b wanted) int {
		switch f, g := frequent[&a[0]], frequent[&b[0]]; {
		case f < g:
			return -1
		case f > g:
			return 1
		}
		return 0
	})
	return all[:askedTerms], nil
}

// part is one as it is read, as far as it was asked for.
type part struct {
	number, size int64
	members      []byte
	postings     map[int64][]byte // by bucket
}

// with returns the places of the keys that have one of the terms.
func (p *part) with(terms wanted) (places, error) {
	set := newPlaces(p.size)
	for _, term := range terms {
		if err := set.add(p.postings[bucketOf(term)], term, p.size); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (p places) any() bool {
	return slices.ContainsFunc(p, func(word uint64) bool { return word != 0 })
}

func (p places) count() (n int) {
	for _, word := range p {
		n += bits.OnesCount64(word)
	}
	return n
}

// Which parts are asked.
const (
	everyPart = ""
	somePart  = ` AND p.part IN (SELECT min(part) FROM text_parts UNION SELECT max(part) FROM text_parts)`
)

// partsSQL takes the parts in turn, which are few, and of each the rows that
// are asked for.
func (s *Store) partsSQL(which string, all []wanted) (string, []any) {
	var st statement
	from := s.engine.Postings(st.among(&s.engine, "t.bucket", bucketsOf(all)))
	return `SELECT p.part, p.size, p.members, t.bucket, t.postings FROM ` + from + which + ` ORDER BY p.part`, st.args
}

// readParts yields the parts in which any of the wanted may be. One statement
// reads them all, so that none is missed that another has just become a part of.
func (s *Store) readParts(ctx context.Context, which string, all []wanted, yield func(*part) error) (err error) {
	text, args := s.partsSQL(which, all)
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("searching the index: %w", err)
	}
	defer closeRows(rows, &err)
	var now *part
	for rows.Next() {
		var (
			next   = &part{postings: map[int64][]byte{}}
			bucket int64
			bytes  []byte
		)
		if err := rows.Scan(&next.number, &next.size, &next.members, &bucket, &bytes); err != nil {
			return fmt.Errorf("searching the index: %w", err)
		}
		if now == nil || next.number != now.number {
			if now != nil {
				if err := yield(now); err != nil {
					return fmt.Errorf("searching the index: %w", err)
				}
			}
			now = next
		}
		now.postings[bucket] = bytes
	}
	if now == nil {
		return nil
	}
	return yield(now)
}

func bucketsOf(all []wanted) (buckets []int64) {
	for _, terms := range all {
		for _, term := range terms {
			buckets = append(buckets, bucketOf(term))
		}
	}
	slices.Sort(buckets)
	return slices.Compact(buckets)
}
