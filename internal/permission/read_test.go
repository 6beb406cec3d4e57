package permission

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// respaced is JSON as jsonb has it: a space after each colon and comma.
func respaced(text string) string {
	return strings.NewReplacer(`":`, `": `, `,"`, `, "`).Replace(text)
}

func TestWhatIsUsualIsReadWithoutEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawSet(t)
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(text), respaced(string(text)), " " + string(text) + " "} {
			got, ok := parse(form)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); !ok || diff != "" {
				t.Fatalf("%s: read %t (-want +got):\n%s", form, ok, diff)
			}
		}
	})
}

// alike fails if both readers take a text, and not for the same.
func alike(t *testing.T, text string) {
	t.Helper()
	got, ok := parse(text)
	var want Set
	err := want.unmarshal([]byte(text))
	if !ok {
		return // encoding/json decides
	}
	if err != nil {
		t.Fatalf("%q is read as %+v; encoding/json says %v", text, got, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%q (-encoding/json +ours):\n%s", text, diff)
	}
}

var strange = []string{
	`{"mode":"restricted"}`, ``, ` `, `{`, `{}`, `null`, `{"mode":"all"}x`, `{"mode":"all",}`, `{"mode":"all" "apis":{}}`, `{"mode":all}`, `{"mode":"all","mode":"read_only"}`,
	`{"Mode":"all"}`, `{"mode":"all","apis":{"a":{"access":"read"}}}`, `{"mode":"all","apis":{}}`, `{"mode":"restricted","apis":null}`,
	`{"mode":"restricted","apis":{"a":{"access":"read"},"a":{"access":"write"}}}`, `{"mode":"restricted","apis":{"a":{}}}`,
	`{"mode":"restricted","apis":{"a":{"access":"read","endpoints":{"e":"write"}}}}`, `{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{}}}}`,
	`{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{"e":"write","e":"read"}}}}`,
	`{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{"e":"write"},"endpoints":{"f":"read"}}}}`,
	`{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{"e":"admin"}}}}`, `{"mode":"restricted","apis":{"\u0061":{"access":"read"}}}`,
	`{"mode":"restricted","apis":{"a":{"access":"read","access":"write"}}}`, "{\"mode\":\n\"all\"}", "{\"mode\":\"restricted\",\"apis\":{\"\xff\":{\"access\":\"read\"}}}",
	`{"apis":{"ä":{"access":"read"}},"mode":"restricted"}`, `{"apis":{"a":{"endpoints":{"e":"read"},"access":"restricted"}},"mode":"restricted"}`, `{"mode":"restricted","apis":{},"apis":{}}`,
}

func TestStrangeTextIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, text := range strange {
		alike(t, text)
		got, gotErr := Parse(text)
		var want Set
		wantErr := want.unmarshal([]byte(text))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("%q: %v, want %v (-want +got):\n%s", text, gotErr, wantErr, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range strange {
		f.Add(text)
	}
	f.Fuzz(alike)
}

func TestNamesDoNotKeepTheTextTheyStoodIn(t *testing.T) {
	text := `{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{"first":"read","second":"write"}}}}`
	set, ok := parse(text)
	if !ok {
		t.Fatal("it is not read")
	}
	if within(text, set.APIs[0].API) || within(text, set.APIs[0].Endpoints[1].Endpoint) {
		t.Error("a name is a part of the text")
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		grant := Grant{API: "rest", ByEndpoint: true}
		for i := range n {
			grant.Endpoints = append(grant.Endpoints, EndpointGrant{fmt.Sprintf("endpoint-%03d", i), Read})
		}
		text, err := json.Marshal(mustRestricted(b, grant))
		if err != nil {
			b.Fatal(err)
		}
		for name, read := range map[string]func(string) (Set, error){
			"ours": Parse, "encoding-json": func(text string) (set Set, err error) { return set, set.unmarshal([]byte(text)) },
		} {
			b.Run(fmt.Sprintf("%s/endpoints=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := read(string(text)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// within reports whether part lies in the memory of text.
func within(text, part string) bool {
	at, start := uintptr(unsafe.Pointer(unsafe.StringData(part))), uintptr(unsafe.Pointer(unsafe.StringData(text)))
	return at >= start && at < start+uintptr(len(text))
}
