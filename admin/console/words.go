package console

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-keywarden/keywarden/admin"
)

// moment is a time as people read it, and exactly.
type moment struct {
	Words string // "in 3 days"; "" for no time
	Exact string // "2026-01-02 03:04:05 UTC"
	ISO   string // for <time datetime>
}

func momentOf(t *time.Time, now time.Time) moment {
	if t == nil {
		return moment{}
	}
	return moment{Words: ago(now.Sub(*t)), Exact: t.UTC().Format("2006-01-02 15:04:05 UTC"), ISO: t.UTC().Format(time.RFC3339)}
}

// past is the moment of something that has happened. Clocks differ, and the
// answer began before what it tells of: the future is not meant.
func past(t *time.Time, now time.Time) moment {
	if t != nil && t.After(now) {
		now = *t
	}
	return momentOf(t, now)
}

// ago says how long something is past, or ahead where d is negative.
func ago(d time.Duration) string {
	if d >= 0 {
		if d < time.Minute {
			return "just now"
		}
		return span(d) + " ago"
	}
	return "in " + span(-d)
}

// span names a duration by its greatest unit. It rounds to the nearest, so
// that what was set to 30 days a second ago is 30 days.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		size  time.Duration
		least time.Duration
		name  string
	}{
		{365 * day, 364 * day, "year"},
		{30 * day, 90 * day, "month"},
		{day, 23*time.Hour + 30*time.Minute, "day"},
		{time.Hour, 59*time.Minute + 30*time.Second, "hour"},
		{time.Minute, time.Minute - 500*time.Millisecond, "minute"},
	} {
		if d >= unit.least {
			return count(int((d+unit.size/2)/unit.size), unit.name)
		}
	}
	return count(max(int(d/time.Second), 1), "second")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// accessWords says in words what a key may do.
func accessWords(p admin.Permissions) string {
	switch p.Mode {
	case "all":
		return "All"
	case "read_only":
		return "Read Only"
	}
	opened := 0
	for _, api := range p.APIs {
		if api.Access != "none" && (api.Access != "restricted" || len(api.Endpoints) > 0) {
			opened++
		}
	}
	switch opened {
	case 0:
		return "Restricted: nothing"
	case 1:
		return "Restricted: 1 API"
	}
	return fmt.Sprintf("Restricted: %d APIs", opened)
}

// accessDetail lists what a restricted key opens, for whoever points at it.
func accessDetail(p admin.Permissions) string {
	if p.Mode != "restricted" {
		return ""
	}
	var lines []string
	for _, name := range sortedNames(p.APIs) {
		api := p.APIs[name]
		if api.Access != "restricted" {
			lines = append(lines, name+": "+accessName(api.Access))
			continue
		}
		for _, id := range sortedNames(api.Endpoints) {
			lines = append(lines, name+"/"+id+": "+accessName(api.Endpoints[id]))
		}
	}
	return strings.Join(lines, "\n")
}

// networkWords says how many networks a key is limited to, "" for none.
func networkWords(sources []string) string {
	if len(sources) == 0 {
		return ""
	}
	return "from " + count(len(sources), "network")
}

func accessName(access string) string {
	switch access {
	case "write":
		return "Read/Write"
	case "read":
		return "Read Only"
	case "restricted":
		return "Restricted"
	}
	return "None"
}

// invisible reports whether a text holds characters that change how it looks
// without being seen: with them "exe.png" can be what "gnp.exe" looks like.
// The joiner of emoji is none of them.
func invisible(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c' && (r < 0xe0020 || r > 0xe007f)
	})
}

// sentence makes an error's line one that people read.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
