package storetest

import (
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var searchTests = map[string]func(*suite){
	"text is found in name, prefix, id and owner":     searchFields,
	"letter case does not matter, in any script":      searchCase,
	"texts of one and two characters are found":       searchShort,
	"characters with a meaning elsewhere have none":   searchSpecial,
	"nothing is found across two fields":              searchAcross,
	"composed and decomposed characters are the same": searchComposed,
	"an edited or rotated key is found as it is now":  searchEdited,
	"every part of a text is found":                   searchParts,
	"text that no key has finds nothing":              searchNothing,
}

func searchFields(s *suite) {
	k := s.created("deploy bot", owner("team-Seven"), func(k *keys.Key) { k.Prefix = "acme_3fGh81Qz" })
	s.created("other")
	id := string(k.Key.ID)
	for _, text := range []string{"deploy bot", "ploy", "y b", "acme_3fGh81Qz", "ACME_3fgh", "gh81", "Seven", "team-", id, strings.ToUpper(id), id[20:], id[30:], id[10:20]} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), []string{"deploy bot"})
	}
	for _, text := range []string{"key_", "ey_", "KEY", id[:7], "_"} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), []string{"other", "deploy bot"})
	}
}

func searchCase(s *suite) {
	for name, texts := range map[string][]string{
		"Straße":          {"STRASSE", "straße", "STRAẞE", "rass"},
		"ΌΔΟΣ":            {"όδος", "όδοσ", "δο"},
		"ПРИВЕТ":          {"привет", "Прив", "ив"},
		"Ǆabc":            {"ǆabc", "ǅabc"},
		"\u212a (kelvin)": {"k (K"},
		"日本語":             {"日本語", "本語", "本"},
		"🔑 emoji 🔑":       {"🔑", "🔑 E", "JI 🔑"},
	} {
		s.created(name)
		for _, text := range texts {
			s.equal(name+" found by "+text, s.list(keys.Query{Text: text}), []string{name})
		}
	}
}

func searchShort(s *suite) {
	s.created("x", func(k *keys.Key) { k.Prefix = "px" })
	s.created("é", func(k *keys.Key) { k.Prefix = "" })
	s.created("ab é!", func(k *keys.Key) { k.Prefix = "" })
	for text, want := range map[string][]string{
		"x": {"x"}, "px": {"x"}, "é": {"ab é!", "é"}, "É": {"ab é!", "é"}, "é!": {"ab é!"}, " é": {"ab é!"}, "!": {"ab é!"}, "!!": {}, "ü": {}, "zz": {},
	} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), want)
	}
}

func searchSpecial(s *suite) {
	for _, name := range []string{`100%`, `a_b`, `back\slash`, `"quoted"`, `it's`, `x*y`, `(NOT near)`, `a-b+c^d:e`, `{col}: x`, `semi;colon --`, `%_%`} {
		s.created(name, func(k *keys.Key) { k.Prefix = "" })
	}
	for text, want := range map[string][]string{
		"%": {"%_%", "100%"}, "0%": {"100%"}, "00%": {"100%"}, "a_b": {"a_b"}, "axb": {}, `\s`: {`back\slash`}, `k\s`: {`back\slash`},
		`"`: {`"quoted"`}, `"quoted"`: {`"quoted"`}, "'": {"it's"}, "it's": {"it's"}, "x*y": {"x*y"}, "que*": {}, "NOT near": {"(NOT near)"},
		"^d:e": {"a-b+c^d:e"}, "{col}: x": {"{col}: x"}, "; --": {}, "n --": {"semi;colon --"}, "%_%": {"%_%"}, `" OR "a`: {}, "' OR 1=1 --": {},
	} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), want)
	}
}

func searchAcross(s *suite) {
	s.created("ends in abc", func(k *keys.Key) { k.Prefix = "def_x" }, owner("ghi"))
	for _, text := range []string{"abcdef", "abc\x1fdef", "abc def", "abc\ndef", "abc\x00def", "xkey", "c\x1fd"} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), []string{})
	}
}

func searchComposed(s *suite) {
	s.created("caf\u00e9")
	s.created("CAFE\u0301")
	for _, text := range []string{"caf\u00e9", "cafe\u0301", "CAF\u00c9", "f\u00e9", "\u00e9"} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), []string{"CAFE\u0301", "caf\u00e9"})
	}
}

func searchEdited(s *suite) {
	k := s.created("before", owner("old owner"))
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name, k.Owner = "after", "new owner" })
	s.rotated(k.Key.ID, start, start)
	for text, want := range map[string][]string{
		"before": nil, "kw_before": nil, "old": nil, "after": {"after"}, "kw_new": {"after"}, "NEW OWNER": {"after"},
	} {
		s.equal("found by "+text, s.list(keys.Query{Text: text}), want)
	}
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Enabled = false })
	s.equal("found when disabled", s.list(keys.Query{Text: "after"}), []string{"after"})
}

func searchParts(s *suite) {
	const name = "Ärger mit Übergrößen 中文 🙂 -_x"
	s.created(name)
	s.created("other", owner("o"))
	runes := []rune(name)
	for i := range runes {
		for j := i + 1; j <= len(runes); j++ {
			text := strings.ToUpper(string(runes[i:j]))
			if found := s.list(keys.Query{Text: text}); len(found) == 0 || found[len(found)-1] != name {
				s.Fatalf("%q found %q", text, found)
			}
		}
	}
}

func searchNothing(s *suite) {
	s.created("a")
	for _, text := range []string{"no such key", "\x00", "a\x00", "\xff\xfe", "\xff", "\u200b", strings.Repeat("a", 10_000), strings.Repeat("🔑x ", 50_000)} {
		s.equal("found", s.list(keys.Query{Text: text}), []string{})
	}
}
