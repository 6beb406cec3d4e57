package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caddy-keywarden/keywarden/admin"
)

// keyForm is a key as somebody is making or changing it: what the form shows,
// and shows again where something in it is wrong.
type keyForm struct {
	ID, ETag, Prefix string // of the key that is edited; "" for a new one

	Name, Owner, Mode, Admin string
	Sources                  string // networks, as typed: spaces or commas between them
	APIs                     []apiRow
	Gone                     []string // APIs that the key lists and nobody declares any more

	Expiry  string // a word of expiries, "date" or "keep"
	Date    string // for "date", as the browser's field has it
	Keeps   moment // what "keep" keeps
	Used    moment // when the key was last used
	Faults  map[string]string
	Problem string   // what is wrong and belongs to no field
	Changed []string // what somebody else changed meanwhile
	Lost    *lost    // what the key did lately that would be refused; nil: nothing to say
}

// apiRow is one declared API in the form.
type apiRow struct {
	Name, Title string
	Patterns    []string
	Access      string
	Endpoints   []endpointRow
}

// endpointRow is one endpoint of an API in the form.
type endpointRow struct {
	ID, Title, Access string
	Typed             bool // by somebody; it is not registered
}

// accessMenu is the menu of one endpoint's access, for the template.
type accessMenu struct{ API, ID, Access string }

// ForAPI returns the endpoint's menu.
func (e endpointRow) ForAPI(api string) accessMenu { return accessMenu{api, e.ID, e.Access} }

// NewEndpoint returns the menu of an endpoint yet to be typed.
func (row apiRow) NewEndpoint() accessMenu { return accessMenu{API: row.Name, Access: "none"} }

// expiry is a duration that the menu offers.
type expiry struct {
	Word, Label string
	After       time.Duration
}

// Seconds is the duration for the page's script, which says on what day that
// is where the visitor lives.
func (e expiry) Seconds() int { return int(e.After / time.Second) }

var expiries = []expiry{
	{"30m", "30 minutes", 30 * time.Minute},
	{"1h", "1 hour", time.Hour},
	{"1d", "1 day", 24 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour},
	{"90d", "90 days", 90 * 24 * time.Hour},
	{"1y", "1 year", 365 * 24 * time.Hour},
}

// Expiries is the menu, for the template.
func (f *keyForm) Expiries() any { return expiries }

// Editing reports whether the form is about a key that exists.
func (f *keyForm) Editing() bool { return f.ID != "" }

// Fault returns what is wrong with a field.
func (f *keyForm) Fault(field string) string { return f.Faults[field] }

// First returns the first field that is wrong, in the order of the form: it
// gets the focus.
func (f *keyForm) First() string {
	for _, field := range []string{"name", "owner", "permissions", "admin", "expires_at", "allowed_cidrs"} {
		if f.Faults[field] != "" {
			return field
		}
	}
	return ""
}

// emptyForm is a key that opens what is asked for, and lives for ever.
func emptyForm(apis []admin.API) *keyForm {
	f := &keyForm{Mode: "all", Admin: "none", Expiry: "never"}
	f.list(apis, nil)
	return f
}

// formOf shows a key as it is.
func formOf(key *admin.Key, etag string, apis []admin.API, now time.Time) *keyForm {
	f := &keyForm{
		ID: key.ID, ETag: etag, Prefix: key.Prefix, Name: key.Name, Owner: key.Owner,
		Mode: key.Permissions.Mode, Admin: key.Admin, Expiry: "never",
		Used: past(key.LastUsedAt, now), Sources: strings.Join(key.Sources, " "),
	}
	if key.ExpiresAt != nil {
		f.Expiry, f.Keeps = "keep", momentOf(key.ExpiresAt, now)
	}
	f.list(apis, key.Permissions.APIs)
	return f
}

// list makes a row of each API: registered endpoints first, then those that
// are granted and not registered.
func (f *keyForm) list(apis []admin.API, granted map[string]admin.APIPermissions) {
	declared := map[string]bool{}
	for _, api := range apis {
		declared[api.Name] = true
		given := granted[api.Name]
		row := apiRow{Name: api.Name, Title: api.Title, Patterns: api.Patterns, Access: cmp.Or(given.Access, "none")}
		listed := map[string]bool{}
		for _, e := range api.Endpoints {
			listed[e.ID] = true
			row.Endpoints = append(row.Endpoints, endpointRow{ID: e.ID, Title: e.Title, Access: cmp.Or(given.Endpoints[e.ID], "none")})
		}
		for _, id := range sortedNames(given.Endpoints) {
			if !listed[id] {
				row.Endpoints = append(row.Endpoints, endpointRow{ID: id, Access: given.Endpoints[id], Typed: true})
			}
		}
		f.APIs = append(f.APIs, row)
	}
	for _, name := range sortedNames(granted) {
		if !declared[name] {
			f.Gone = append(f.Gone, name)
		}
	}
}

// read takes over what was sent; rows follow the APIs that f has.
func (f *keyForm) read(sent url.Values) {
	f.Name, f.Owner = sent.Get("name"), sent.Get("owner")
	f.Mode, f.Admin = sent.Get("mode"), cmp.Or(sent.Get("admin"), "none")
	f.Sources = strings.TrimSpace(sent.Get("sources"))
	f.Expiry, f.Date = sent.Get("expiry"), sent.Get("date")
	for i := range f.APIs {
		f.APIs[i].read(sent)
	}
}

func (row *apiRow) read(sent url.Values) {
	row.Access = cmp.Or(sent.Get("api:"+row.Name), "none")
	registered := map[string]string{}
	for _, e := range row.Endpoints {
		if !e.Typed {
			registered[e.ID] = e.Title
		}
	}
	ids, accesses := sent["endpoint:"+row.Name], sent["access:"+row.Name]
	row.Endpoints = row.Endpoints[:0]
	for i, id := range ids {
		id = strings.TrimSpace(id)
		if i >= len(accesses) || id == "" && accesses[i] == "none" {
			continue
		}
		title, known := registered[id]
		row.Endpoints = append(row.Endpoints, endpointRow{ID: id, Title: title, Access: accesses[i], Typed: !known})
	}
}

// sources returns the networks of the form, never nil.
func (f *keyForm) sources() []string {
	list := strings.FieldsFunc(f.Sources, func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' })
	return append([]string{}, list...)
}

// permissions returns what the form grants. Whether it may be is the API's to
// say; only what the API would not see is noted here.
func (f *keyForm) permissions() admin.Permissions {
	if f.Mode != "restricted" {
		return admin.Permissions{Mode: f.Mode}
	}
	out := admin.Permissions{Mode: f.Mode, APIs: map[string]admin.APIPermissions{}}
	for _, row := range f.APIs {
		switch row.Access {
		case "none":
		case "restricted":
			endpoints := map[string]string{}
			for _, e := range row.Endpoints {
				switch _, twice := endpoints[e.ID]; {
				case e.ID == "":
					f.fault("permissions", "an endpoint of "+row.Name+" is given access and has no id: type it, or choose None")
				case twice:
					f.fault("permissions", "endpoint "+e.ID+" of "+row.Name+" is listed twice")
				}
				endpoints[e.ID] = e.Access
			}
			maps.DeleteFunc(endpoints, func(_, access string) bool { return access == "none" })
			out.APIs[row.Name] = admin.APIPermissions{Access: row.Access, Endpoints: endpoints}
		default:
			out.APIs[row.Name] = admin.APIPermissions{Access: row.Access}
		}
	}
	return out
}

// expiresAt returns when the key ends, nil for never. instant is Date in the
// visitor's own time zone, which only a browser knows.
func (f *keyForm) expiresAt(instant string, now time.Time) *time.Time {
	if f.Expiry == "date" {
		for _, form := range []struct{ layout, text string }{{time.RFC3339, instant}, {"2006-01-02T15:04", f.Date}} {
			if t, err := time.Parse(form.layout, form.text); err == nil {
				t = t.UTC()
				return &t
			}
		}
		f.fault("expires_at", "expected a date and a time")
		return nil
	}
	for _, e := range expiries {
		if e.Word == f.Expiry {
			t := now.Add(e.After).UTC().Truncate(time.Second)
			return &t
		}
	}
	return nil
}

func (f *keyForm) fault(field, message string) {
	if f.Faults == nil {
		f.Faults = map[string]string{}
	}
	if f.Faults[field] == "" {
		f.Faults[field] = sentence(message)
	}
}

// refuse notes beside its field each fault that the API found.
func (f *keyForm) refuse(problem *admin.Problem) {
	rest := problem.Errors[:0:0]
	for _, e := range problem.Errors {
		field, within, _ := strings.Cut(e.Field, ".")
		switch field {
		case "name", "owner", "admin":
			f.fault(field, e.Message)
		case "expires_at": // the form has its own word for null
			f.fault(field, strings.TrimSuffix(e.Message, ", or null for never"))
		case "permissions":
			within = strings.TrimPrefix(within, "apis.")
			if within != "" && within != "mode" {
				within = strings.Replace(within, ".endpoints", "", 1) + ": "
			} else {
				within = ""
			}
			f.fault(field, within+e.Message)
		default:
			if i, ok := strings.CutPrefix(e.Field, "allowed_cidrs["); ok {
				f.fault("allowed_cidrs", f.sourceAt(i)+e.Message)
				continue
			}
			if e.Field == "allowed_cidrs" {
				f.fault("allowed_cidrs", e.Message)
				continue
			}
			rest = append(rest, e)
		}
	}
	if len(f.Faults) == 0 || len(rest) > 0 {
		told := *problem
		told.Errors = rest
		f.Problem = sentence(told.Error())
	}
}

// sourceAt returns what was typed at a place that the API names: "2]".
func (f *keyForm) sourceAt(place string) string {
	i, err := strconv.Atoi(strings.TrimSuffix(place, "]"))
	if list := f.sources(); err == nil && i < len(list) {
		return list[i] + ": "
	}
	return ""
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
