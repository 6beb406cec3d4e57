package route

import (
	"net/url"
	"testing"
)

func TestEscapesThatAreNotNeededAreSpelledOut(t *testing.T) {
	for _, c := range []struct{ sent, want string }{
		{"/public/a", "/public/a"},
		{"/pu%62lic/a", "/public/a"},
		{"/%70%75%62lic", "/public"},
		{"/%5A%30%2D%5f%7e%2Ex", "/Z0-_~.x"},
		{"/a%20b", "/a%20b"},
		{"/a%20%62", "/a%20b"},
		{"/caf%C3%A9", "/caf%C3%A9"},
		{"/c%61f%c3%a9", "/caf%c3%a9"}, // what needs an escape keeps its spelling
		{"/a%3Ab%3ac", "/a%3Ab%3ac"},
		{"/a%2Fb%61", "/a%2Fba"},
		{"/%25%36%31", "/%2561"}, // no second decoding
		{"/%2561", "/%2561"},
		{"/a!b(%63)", "/a!b(c)"},
	} {
		u, err := url.ParseRequestURI(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		path := u.Path
		if changed := Unescape(u); changed != (c.sent != c.want) {
			t.Errorf("%s: says changed %v", c.sent, changed)
		}
		if got := u.EscapedPath(); got != c.want || u.Path != path {
			t.Errorf("%s is sent on as %s (decoded %q), want %s (%q)", c.sent, got, u.Path, c.want, path)
		}
	}
}

func TestWhatIsNotSentIsNotSpelledAnew(t *testing.T) {
	// A rewrite set Path and left RawPath behind: Path alone counts.
	u := &url.URL{Path: "/new", RawPath: "/o%6cd"}
	if Unescape(u) || u.EscapedPath() != "/new" {
		t.Errorf("it is sent as %s", u.EscapedPath())
	}
	if Unescape(nil) {
		t.Error("nothing was changed")
	}
}

func FuzzUnescape(f *testing.F) {
	for _, seed := range []string{"/a", "/%61", "/%2F%61", "/%C3%A9%7E", "/%", "/%4", "/%zz%61", "/%2561"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil || u.Path == "" {
			return
		}
		path, fault := u.Path, AmbiguousURL(u)
		Unescape(u)
		sent, err := url.PathUnescape(u.EscapedPath())
		if err != nil || sent != path || u.Path != path {
			t.Errorf("%q: judged as %q, sent as %q (%v)", raw, path, u.EscapedPath(), err)
		}
		if Unescape(u) {
			t.Errorf("%q: a second time changes it again", raw)
		}
		if after := AmbiguousURL(u); after != fault {
			t.Errorf("%q: was %q, is now %q", raw, fault, after)
		}
	})
}
