package admin

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// validator holds values against the schemas that the OpenAPI document
// publishes, so that what is documented is what is enforced.
//
// huma.Validate is not used: it takes null for any member that is not
// required, matches names in any letter case unless a process-wide variable
// is set, loses its place in paths when a member's name has a dot (endpoint
// ids do), and hands out the faulty values.
type validator struct {
	schemas  huma.Registry
	patterns sync.Map // string to *regexp.Regexp
}

// propertyNames is the JSON Schema keyword for the names of a map's members,
// which huma.Schema has no field for.
const propertyNames = "propertyNames"

// check adds to f every way in which v differs from schema s.
func (c *validator) check(s *huma.Schema, path string, v any, f *faults) {
	for s.Ref != "" {
		s = c.schemas.SchemaFromRef(s.Ref)
	}
	if v == nil && s.Nullable {
		return
	}
	switch s.Type {
	case huma.TypeObject:
		if object, ok := v.(map[string]any); ok {
			c.checkObject(s, path, object, f)
			return
		}
	case huma.TypeArray:
		if array, ok := v.([]any); ok {
			c.checkArray(s, path, array, f)
			return
		}
	case huma.TypeString:
		if text, ok := v.(string); ok {
			c.checkString(s, path, text, f)
			return
		}
	case huma.TypeInteger:
		if number, ok := v.(json.Number); ok {
			checkInteger(s, path, number, f)
			return
		}
	case huma.TypeBoolean:
		if _, ok := v.(bool); ok {
			return
		}
	case "": // anything
		return
	}
	f.addf(path, "expected %s, found %s", article(expected(s)), article(found(v)))
}

func (c *validator) checkObject(s *huma.Schema, path string, object map[string]any, f *faults) {
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			f.add(join(path, name), "is required")
		}
	}
	if s.MaxProperties != nil && len(object) > *s.MaxProperties {
		f.addf(path, "expected at most %d members, found %d", *s.MaxProperties, len(object))
	}
	names, _ := s.Extensions[propertyNames].(*huma.Schema)
	rest, open := s.AdditionalProperties.(*huma.Schema)
	for _, name := range sortedNames(object) {
		field := join(path, name)
		if property, ok := s.Properties[name]; ok {
			c.check(property, field, object[name], f)
			continue
		}
		if !open {
			f.add(field, unknownField(s, name))
			continue
		}
		if names != nil {
			c.checkString(names, field, name, f)
		}
		c.check(rest, field, object[name], f)
	}
}

func unknownField(s *huma.Schema, name string) string {
	known := make([]string, 0, len(s.Properties))
	for property := range s.Properties {
		if strings.EqualFold(property, name) {
			return fmt.Sprintf("unknown field; it is written %q, names are case-sensitive", property)
		}
		known = append(known, property)
	}
	sort.Strings(known)
	return "unknown field; expected one of " + strings.Join(known, ", ")
}

func (c *validator) checkArray(s *huma.Schema, path string, array []any, f *faults) {
	if s.MinItems != nil && len(array) < *s.MinItems {
		f.addf(path, "expected at least %d, found %d", *s.MinItems, len(array))
	}
	if s.MaxItems != nil && len(array) > *s.MaxItems {
		f.addf(path, "expected at most %d, found %d", *s.MaxItems, len(array))
		return // the rest of the answer would drown this
	}
	for i, item := range array {
		c.check(s.Items, at(path, i), item, f)
	}
}

func (c *validator) checkString(s *huma.Schema, path, text string, f *faults) {
	length := utf8.RuneCountInString(text)
	switch {
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, any(text)):
		f.add(path, "expected one of "+enumWords(s))
	case s.MinLength != nil && length < *s.MinLength:
		f.addf(path, "expected at least %s, found %d", characters(*s.MinLength), length)
	case s.MaxLength != nil && length > *s.MaxLength:
		f.addf(path, "expected at most %s, found %d", characters(*s.MaxLength), length)
	case s.Pattern != "" && !c.pattern(s.Pattern).MatchString(text):
		f.add(path, "expected "+s.PatternDescription)
	case s.Format == "date-time" && !isTime(text):
		f.add(path, `expected a time of RFC 3339, such as "2030-01-31T12:00:00Z"`)
	}
}

// pattern compiles each pattern once.
func (c *validator) pattern(text string) *regexp.Regexp {
	if known, ok := c.patterns.Load(text); ok {
		return known.(*regexp.Regexp)
	}
	compiled := regexp.MustCompile(text)
	c.patterns.Store(text, compiled)
	return compiled
}

func checkInteger(s *huma.Schema, path string, number json.Number, f *faults) {
	value, err := number.Float64()
	low, high := math.Inf(-1), math.Inf(1)
	if s.Minimum != nil {
		low = *s.Minimum
	}
	if s.Maximum != nil {
		high = *s.Maximum
	}
	switch {
	case err == nil && value != math.Trunc(value):
		f.add(path, "expected a whole number")
	case err != nil, value < low, value > high:
		f.addf(path, "expected a whole number from %.0f to %.0f", low, high)
	}
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

// parseTime reads a time of RFC 3339. Package time alone would take a comma
// for the point, and hours of one digit (golang.org/issue/54580).
func parseTime(text string) (time.Time, bool) {
	if !rfc3339.MatchString(text) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	return t, err == nil
}

func isTime(text string) bool {
	_, ok := parseTime(text)
	return ok
}

func enumWords(s *huma.Schema) string {
	words := make([]string, len(s.Enum))
	for i, word := range s.Enum {
		words[i] = fmt.Sprint(word)
	}
	return strings.Join(words, ", ")
}

func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}

func expected(s *huma.Schema) string {
	if s.Nullable {
		return s.Type + " or null"
	}
	return s.Type
}

func found(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}

func article(word string) string {
	switch {
	case word == "null":
		return word
	case strings.ContainsRune("aeio", rune(word[0])):
		return "an " + word
	}
	return "a " + word
}

func sortedNames(object map[string]any) []string {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
