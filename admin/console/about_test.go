package console

import (
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// The key itself learns of a use up to 30 seconds later.
func TestUseThatIsCountedCountsAsTheLast(t *testing.T) {
	v := &visit{console: &console{}, now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	at := func(ago time.Duration) *time.Time { u := v.now.Add(-ago); return &u }
	used := func(outcome string, ago time.Duration) admin.UsedFor {
		return admin.UsedFor{Outcome: outcome, LastAt: *at(ago)}
	}
	for _, x := range []struct {
		stored *time.Time
		uses   []admin.UsedFor
		want   string
	}{
		{nil, nil, ""},
		{at(time.Hour), nil, "1 hour ago"},
		{nil, []admin.UsedFor{used("allowed", time.Minute)}, "1 minute ago"},
		{nil, []admin.UsedFor{used("insufficient_access", time.Minute)}, ""},
		{nil, []admin.UsedFor{used("would_insufficient_access", time.Minute)}, "1 minute ago"},
		{at(time.Hour), []admin.UsedFor{used("allowed", 2*time.Hour), used("allowed", 5*time.Minute), used("allowed", 3*time.Hour)}, "5 minutes ago"},
		{at(time.Minute), []admin.UsedFor{used("allowed", time.Hour)}, "1 minute ago"},
	} {
		row := keyRow{Key: admin.Key{LastUsedAt: x.stored}}
		v.noteUse(&row, admin.KeyUsage{Uses: x.uses})
		if row.Used.Words != x.want {
			t.Errorf("stored %v, counted %v: used %q, want %q", x.stored, x.uses, row.Used.Words, x.want)
		}
	}
}

func TestNetworksInWords(t *testing.T) {
	for n, want := range map[int]string{0: "", 1: "from 1 network", 3: "from 3 networks"} {
		if got := networkWords(make([]string, n)); got != want {
			t.Errorf("%d networks are %q, want %q", n, got, want)
		}
	}
}

func TestListSaysHowManyKeysItHas(t *testing.T) {
	for want, list := range map[string]*keyList{
		"1 API key":            {Rows: make([]keyRow, 1)},
		"50 API keys and more": {Rows: make([]keyRow, 50), More: "./?cursor=x"},
	} {
		if got := list.Count(); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}
