package storetest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Million is a database of 1 000 000 keys, or of as many as the environment's
// KEYWARDEN_BENCH_KEYS says, for a quick look. It is hard on lists: what is
// looked for stands behind much that isn't.
type Million struct {
	Size    int
	Now     time.Time
	Digests []keys.Digest // of every thousandth key
	IDs     []keys.ID

	store, floor time.Duration // to import them
}

// importedAtOnce is how many keys the admin API takes at most.
const importedAtOnce = 10_000

// fill imports the keys as the admin API does. After each call the floor
// writes as much, so that whatever else the machine does slows both.
func (m *Million) fill(ctx context.Context, s keys.Store, floor func(ctx context.Context, ks []keys.New) error) error {
	m.Size, m.Now = 1_000_000, time.Now()
	if n, err := strconv.Atoi(os.Getenv("KEYWARDEN_BENCH_KEYS")); err == nil {
		m.Size = n
	}
	for i := 0; i < m.Size; i += importedAtOnce {
		ks := make([]keys.New, importedAtOnce)
		for j := range ks {
			k, err := m.key(i + j)
			if err != nil {
				return err
			}
			if ks[j] = k; (i+j)%1000 == 0 {
				m.Digests, m.IDs = append(m.Digests, k.Digest), append(m.IDs, k.Key.ID)
			}
		}
		began := time.Now()
		if err := s.Create(ctx, keys.By{Actor: "bench", At: m.Now}, "import", ks); err != nil {
			return err
		}
		between := time.Now()
		if err := floor(ctx, ks); err != nil {
			return err
		}
		m.store, m.floor = m.store+between.Sub(began), m.floor+time.Since(between)
	}
	return nil
}

// key returns the i-th key. The 400 000 oldest have expired, but for every
// 20 000th; every 5000th is disabled; half belong to one owner; half have
// access to all APIs, but not the newer ones.
func (m *Million) key(i int) (keys.New, error) {
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		return keys.New{}, err
	}
	k := keys.New{Digest: secret.Digest(), Key: keys.Key{
		ID: keys.NewID(), Name: fmt.Sprintf("service-%07d", i), Prefix: secret.Prefix(), Owner: "big",
		Enabled: i%5000 != 7, CreatedAt: m.Now.AddDate(0, 0, -i*7919%400), UpdatedAt: m.Now, CreatedBy: "key_admin", Metadata: map[string]string{"team": "platform"},
	}}
	if i%2 == 1 {
		k.Key.Owner = fmt.Sprintf("team-%d", i%1000)
	}
	if i < m.Size*4/10 && i%20_000 != 0 {
		k.Key.ExpiresAt = m.Now.Add(-time.Duration(i+1) * time.Second)
	} else if i%3 == 0 {
		k.Key.ExpiresAt = m.Now.Add(time.Duration(i+1) * time.Hour)
	}
	k.Key.Permissions, err = m.permissions(i)
	return k, err
}

func (m *Million) permissions(i int) (permission.Set, error) {
	rest := permission.Grant{API: "rest", Access: permission.Write}
	switch {
	case i == 1000:
		return permission.NewRestricted(permission.Grant{API: "rare", Access: permission.Read})
	case i >= m.Size/2:
		return permission.NewRestricted(permission.Grant{API: "graphql", Access: permission.Read}, rest)
	case i%2 == 1:
		return permission.NewRestricted(rest)
	}
	return permission.Set{Mode: permission.All}, nil
}

// queries are lists of every kind.
func (m *Million) queries() map[string]keys.Query {
	big, team, nobody := "big", "team-7", "nobody"
	id := string(m.IDs[len(m.IDs)/2])
	return map[string]keys.Query{
		"no filter":               {},
		"owner of 500 000":        {Owner: &big},
		"owner of 1000":           {Owner: &team},
		"owner of none":           {Owner: &nobody},
		"active":                  {Status: keys.Active},
		"expired":                 {Status: keys.Expired},
		"disabled":                {Status: keys.Disabled},
		"api of most":             {API: "rest"},
		"api of some":             {API: "graphql"},
		"api of all-mode keys":    {API: "undeclared"},
		"api of one":              {API: "rare"},
		"text of all":             {Text: "service"},
		"text of most":            {Text: "key_"},
		"text of one, name":       {Text: "SERVICE-0000001"},
		"text of one, id":         {Text: id},
		"text of one, id's head":  {Text: id[:16]},
		"text of one, id's tail":  {Text: id[24:]},
		"text of an owner":        {Text: "team-77"},
		"text of none":            {Text: "no such key"},
		"text of none, near":      {Text: "service-9999999"},
		"text of none, turned":    {Text: "ecivres"},
		"text of none, frequent":  {Text: "000000000"},
		"text of three digits":    {Text: "f07"},
		"text of two digits":      {Text: "77"},
		"text of two letters":     {Text: "zq"},
		"text of one letter":      {Text: "z"},
		"text of none, two":       {Text: "é!"},
		"text of none, two plain": {Text: "-x"},
		"text of none, one":       {Text: "!"},
		"owner of 500 000, text":  {Owner: &big, Text: "service-0000002"},
		"owner of 1000, text":     {Owner: &team, Text: "service"},
		"owner, text of none":     {Owner: &big, Text: "team-7"},
		"owner, active":           {Owner: &team, Status: keys.Active},
		"owner of many, expired":  {Owner: &big, Status: keys.Expired},
		"owner of many, disabled": {Owner: &big, Status: keys.Disabled},
		"owner, api":              {Owner: &big, API: "graphql"},
		"owner, api of none":      {Owner: &team, API: "undeclared"},
		"text, active":            {Text: "service", Status: keys.Active},
		"text, expired":           {Text: "service", Status: keys.Expired},
		"text, disabled":          {Text: "service", Status: keys.Disabled},
		"text of two, expired":    {Text: "77", Status: keys.Expired},
		"api, expired":            {API: "rest", Status: keys.Expired},
		"api of one, expired":     {API: "rare", Status: keys.Expired},
		"unused":                  {UnusedSince: m.Now.AddDate(0, 0, 2)},
		"unused for long":         {UnusedSince: m.Now.AddDate(0, 0, -300)},
		"unused, none":            {UnusedSince: m.Now.AddDate(0, 0, -1000)},
		"unused, owner of 1000":   {UnusedSince: m.Now.AddDate(0, 0, 2), Owner: &team},
		"unused, disabled":        {UnusedSince: m.Now.AddDate(0, 0, 2), Status: keys.Disabled},
		"unused, active":          {UnusedSince: m.Now.AddDate(0, 0, 2), Status: keys.Active},
		"unused, text of one":     {UnusedSince: m.Now.AddDate(0, 0, 2), Text: "SERVICE-0000001"},
		"everything":              {Owner: &big, API: "graphql", Status: keys.Active, Text: "service"},
		"by name":                 {Sort: keys.SortName},
		"by owner, Z first":       {Sort: "-" + keys.SortOwner},
		"by expiry":               {Sort: keys.SortExpiry},
		"by last use, last first": {Sort: "-" + keys.SortLastUse},
		"oldest first":            {Sort: keys.SortCreation},
		"by name, active":         {Sort: keys.SortName, Status: keys.Active},
		"by name, owner of 1000":  {Sort: keys.SortName, Owner: &team},
		"by name, text of one":    {Sort: keys.SortName, Text: "SERVICE-0000001"},
		"by name, api of one":     {Sort: keys.SortName, API: "rare"},
		"everything of none":      {Owner: &team, API: "undeclared", Status: keys.Expired, Text: "service"},
	}
}

// Bench is what the benchmarks of a store need.
type Bench struct {
	// Open opens the database of the million, which is empty at first.
	Open func(tb testing.TB, o keys.Options) keys.Store
	// Settle is called when it is full: the database does by itself, later,
	// what Settle does now.
	Settle func(ctx context.Context) error
	// Fresh opens a database of its own.
	Fresh func(tb testing.TB) keys.Store
	// Import writes the rows of keys and of their digests, and Page reads a
	// page of rows, by the bare driver: the floors.
	Import func(ctx context.Context, ks []keys.New) error
	Page   func(ctx context.Context) error
}
