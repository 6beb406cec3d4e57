package console

import (
	"html/template"
	"testing"
)

// What is wrong with a template would else be seen by who opens its page.
func TestEveryPatternCanBeRead(t *testing.T) {
	l, err := newLook()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.pages) < 5 {
		t.Errorf("%d pages", len(l.pages))
	}
	var all []*template.Template
	for name, p := range l.pages {
		page, err := p()
		if err != nil || page.Lookup("page") == nil || page.Lookup("main") == nil {
			t.Errorf("page %s: %v", name, err)
		}
		all = append(all, page)
	}
	fragments, err := l.fragments()
	if err != nil || fragments.Lookup("page") == nil {
		t.Errorf("fragments: %v", err)
	}
	for _, page := range all {
		if page == fragments {
			t.Error("a page and the fragments are one: each page has a part of its own")
		}
	}
}
