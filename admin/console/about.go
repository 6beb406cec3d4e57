package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// about is what the page of one key says beyond its row: what the list has no
// room for, or shows only to whoever points at it with a mouse.
type about struct {
	ID                       string
	May                      []string // what a restricted key opens
	Networks                 []string
	Creator, CreatorID, Link string // who made it, and what else they changed
	Metadata                 []string
	Suggestion               *suggestion
}

func (v *visit) about(key *admin.Key) (*about, error) {
	a := &about{ID: key.ID, Networks: key.Sources, CreatorID: key.CreatedBy}
	if detail := accessDetail(key.Permissions); detail != "" {
		a.May = strings.Split(detail, "\n")
	}
	if a.CreatorID != "" {
		a.Creator = v.nameOf(a.CreatorID, map[string]string{v.me.ID: v.me.Name})
		a.Link = link("audit", url.Values{"actor": {a.CreatorID}})
	}
	for _, name := range sortedNames(key.Metadata) {
		a.Metadata = append(a.Metadata, name+": "+key.Metadata[name])
	}
	if !v.mayChange() {
		return a, nil
	}
	var err error
	a.Suggestion, err = v.suggestion(key.ID)
	return a, err
}

// changed is a key after a change, where the visitor looks at it.
type changed struct {
	ID    string
	Row   keyRow
	About *about // where one key is looked at
}

func (v *visit) showChanged(key *admin.Key) error {
	shows := changed{ID: key.ID, Row: v.row(key)}
	if v.onKeyPage() {
		var err error
		if shows.About, err = v.about(key); err != nil { // the change is made, and its row must say so
			v.Logger.WarnContext(v.r.Context(), "describing a key after it was changed", "error", err)
		}
	}
	v.fragment(http.StatusOK, "changed", shows)
	return nil
}
