package console

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// keyList is the list of keys, or a page of it.
type keyList struct {
	Rows     []keyRow
	More     string // address of the next page; "" after the last
	Filters  filters
	APIs     []admin.API
	ReadOnly bool
}

// filters are what of the list is looked at; the address bar holds them.
type filters struct{ Q, Status, Owner, API, Unused, Sort string }

// Any reports whether anything is filtered.
func (f filters) Any() bool { return f != filters{Sort: f.Sort} }

// Order says the order in words.
func (f filters) Order() string {
	for _, s := range sortings {
		if s.Word == f.Sort && (f.Sort != "" || f.Unused == "") {
			return strings.ToLower(s.Label)
		}
	}
	return "longest unused first"
}

// Count says how many keys the page has: screen readers read it when a search
// has found them.
func (l *keyList) Count() string {
	if l.More != "" {
		return count(len(l.Rows), "API key") + " and more"
	}
	return count(len(l.Rows), "API key")
}

// Columns are the list's, for the template.
func (l *keyList) Columns() []column {
	if l.Filters.Sort == "" && l.Filters.Unused != "" {
		return columnsOf("last_used_at")
	}
	return columnsOf(l.Filters.Sort)
}

// Sortings is the menu of orders, for the template.
func (l *keyList) Sortings() []sorting { return sortings }

func (f filters) values() url.Values {
	return url.Values{"q": {f.Q}, "status": {f.Status}, "owner": {f.Owner}, "api": {f.API}, "unused": {f.Unused}, "sort": {f.Sort}}
}

func filtersOf(values url.Values) filters {
	return filters{Q: values.Get("q"), Status: values.Get("status"), Owner: values.Get("owner"), API: values.Get("api"), Unused: values.Get("unused"), Sort: values.Get("sort")}
}

// unusedSince returns since when the keys that are asked for were not used;
// the zero time where that is not asked.
func (f filters) unusedSince(now time.Time) time.Time {
	days, err := strconv.Atoi(f.Unused)
	if err != nil || days < 1 || days > 3660 {
		return time.Time{}
	}
	return now.AddDate(0, 0, -days)
}

// keyRow is a key in the list.
type keyRow struct {
	admin.Key
	Access, Detail         string
	From, Networks         string // how many networks it is limited to, and which; "": everywhere
	Expires, Used, Created moment
	Soon                   bool // it expires within a week
	Previous               moment
	PreviousPrefix         string
	ReadOnly               bool // the visitor may not change it
	Mine                   bool // it is the visitor's own key
	Invisible              bool // its name or owner may not be what it looks like
	OwnerLink, PageLink    string
	HistoryLink            string
}

func (v *visit) row(key *admin.Key) keyRow {
	row := keyRow{
		Key: *key, Access: accessWords(key.Permissions), Detail: accessDetail(key.Permissions),
		From: networkWords(key.Sources), Networks: strings.Join(key.Sources, "\n"),
		Expires: momentOf(key.ExpiresAt, v.now), Used: past(key.LastUsedAt, v.now), Created: past(&key.CreatedAt, v.now),
		ReadOnly: !v.mayChange(), Mine: key.ID == v.me.ID,
		Invisible: invisible(key.Name) || invisible(key.Owner),
		OwnerLink: link("./", url.Values{"owner": {key.Owner}}), PageLink: link("key", url.Values{"id": {key.ID}}), HistoryLink: link("audit", url.Values{"key": {key.ID}}),
	}
	const week = 7 * 24 * time.Hour
	row.Soon = key.ExpiresAt != nil && key.Status == "active" && key.ExpiresAt.Sub(v.now) < week
	if key.Rotation != nil {
		row.PreviousPrefix = key.Rotation.PreviousPrefix
		row.Previous = momentOf(&key.Rotation.PreviousExpiresAt, v.now)
	}
	return row
}

// listKeys is the first page: the list.
func (v *visit) listKeys() error {
	list, err := v.keys(v.form)
	if err != nil {
		return err
	}
	if !v.partial() || v.r.Header.Get("HX-History-Restore-Request") == "true" {
		apis, _, err := v.client.APIs(v.r.Context())
		if err != nil {
			return err
		}
		list.APIs = apis.Data
		v.page(http.StatusOK, "keys", list)
		return nil
	}
	if v.form.Get("cursor") != "" {
		v.fragment(http.StatusOK, "key-rows", list)
		return nil
	}
	v.w.Header().Set("HX-Replace-Url", link("./", list.Filters.values()))
	v.fragment(http.StatusOK, "keys", list)
	return nil
}

func (v *visit) keys(asked url.Values) (*keyList, error) {
	f := filtersOf(asked)
	found, err := v.search(admin.KeyFilter{
		Text: f.Q, Status: f.Status, Owner: f.Owner, API: f.API, UnusedSince: f.unusedSince(v.now), Sort: f.Sort, Cursor: asked.Get("cursor"),
	})
	if err != nil {
		return nil, err
	}
	list := &keyList{Filters: f, ReadOnly: !v.mayChange()}
	for i := range found.Data {
		list.Rows = append(list.Rows, v.row(&found.Data[i]))
	}
	if found.NextCursor != nil {
		more := f.values()
		more.Set("cursor", *found.NextCursor)
		list.More = link("./", more)
	}
	return list, nil
}

// mostPages is how many pages without a key are passed over before a person is
// asked whether to go on: one takes some milliseconds.
const mostPages = 10

// search returns the first page that has a key. Among very many keys, pages of
// what hardly any key matches may end early, and empty.
func (v *visit) search(f admin.KeyFilter) (admin.KeyList, error) {
	for pages := 1; ; pages++ {
		found, _, err := v.client.List(v.r.Context(), f)
		if err != nil || len(found.Data) > 0 || found.NextCursor == nil || pages == mostPages {
			return found, err
		}
		f.Cursor = *found.NextCursor
	}
}

// onKeyPage reports whether the visitor looks at one key.
func (v *visit) onKeyPage() bool {
	page, err := url.Parse(v.r.Header.Get("HX-Current-URL"))
	return err == nil && path.Base(page.Path) == "key"
}

// current returns the list as the visitor's page shows it: a browser says
// which address that is.
func (v *visit) current() (*keyList, error) {
	page, err := url.Parse(v.r.Header.Get("HX-Current-URL"))
	if err != nil {
		page = &url.URL{}
	}
	return v.keys(filtersOf(page.Query()).values())
}
