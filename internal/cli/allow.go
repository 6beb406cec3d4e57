package cli

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

const (
	modeAll        = "all"
	modeReadOnly   = "read_only"
	modeRestricted = "restricted"
)

// apiName and maxEndpoint are the contract's section 1. They are judged here
// too because a typing error is worth status 2 and a word on the syntax.
var apiName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

const maxEndpoint = 128

// nothing is the value of --allow for permissions without a rule.
const nothing = "none"

func addPermissionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Bool("all", false, "Read and write on every API")
	f.Bool("read-only", false, "Read on every API")
	// Not a slice flag: those split at commas, which an endpoint's id may hold.
	f.StringArray("allow", nil, "Access to one API or endpoint: `API[/ENDPOINT]=none|read|write`; may be given several times; none alone: to nothing")
}

// permissions returns what the flags --all, --read-only and --allow say; nil
// where none of them is given.
func (i *invocation) permissions() (*admin.Permissions, error) {
	f := i.cmd.Flags()
	all, allErr := f.GetBool("all")
	readOnly, readErr := f.GetBool("read-only")
	allow, allowErr := f.GetStringArray("allow")
	for _, err := range []error{allErr, readErr, allowErr} {
		if err != nil {
			return nil, usagef("%v", err)
		}
	}
	switch {
	case all && readOnly, all && len(allow) > 0, readOnly && len(allow) > 0:
		return nil, usagef("--all, --read-only and --allow exclude one another; give one of them")
	case all:
		return &admin.Permissions{Mode: modeAll}, nil
	case readOnly:
		return &admin.Permissions{Mode: modeReadOnly}, nil
	case len(allow) > 0:
		return parseAllow(allow)
	}
	return nil, nil
}

// parseAllow combines API=ACCESS and API/ENDPOINT=ACCESS into restricted
// permissions. Whatever could be meant in two ways is refused.
func parseAllow(rules []string) (*admin.Permissions, error) {
	out := &admin.Permissions{Mode: modeRestricted, APIs: make(map[string]admin.APIPermissions)}
	if len(rules) == 1 && rules[0] == nothing {
		return out, nil
	}
	for _, rule := range rules {
		api, endpoint, byEndpoint, access, err := parseRule(rule)
		if err != nil {
			return nil, err
		}
		known, twice := out.APIs[api]
		switch {
		case !twice && !byEndpoint:
			out.APIs[api] = admin.APIPermissions{Access: access}
			continue
		case !twice:
			known = admin.APIPermissions{Access: modeRestricted, Endpoints: make(map[string]string)}
			out.APIs[api] = known
		case byEndpoint != (known.Endpoints != nil):
			return nil, usagef("--allow %s: the API %s is given access as a whole and by endpoint; choose one of both", rule, api)
		case !byEndpoint:
			return nil, usagef("--allow %s: the API %s is given twice", rule, api)
		}
		if _, twice := known.Endpoints[endpoint]; twice {
			return nil, usagef("--allow %s: the endpoint %s/%s is given twice", rule, api, endpoint)
		}
		known.Endpoints[endpoint] = access
	}
	return out, nil
}

// parseRule takes API[/ENDPOINT]=ACCESS apart. The last = counts, as an
// endpoint's id may hold one.
func parseRule(rule string) (api, endpoint string, byEndpoint bool, access string, err error) {
	at := strings.LastIndexByte(rule, '=')
	if at < 0 {
		return "", "", false, "", usagef("--allow %s: expected API[/ENDPOINT]=none|read|write, or none alone", rule)
	}
	target, access := rule[:at], rule[at+1:]
	if access != "none" && access != "read" && access != "write" {
		return "", "", false, "", usagef("--allow %s: found access %q, expected none, read or write", rule, access)
	}
	api, endpoint, byEndpoint = strings.Cut(target, "/")
	if !apiName.MatchString(api) {
		return "", "", false, "", usagef("--allow %s: found API %q, expected a-z, 0-9 and -, the first a letter, at most 63 characters", rule, api)
	}
	if byEndpoint && !isEndpoint(endpoint) {
		return "", "", false, "", usagef("--allow %s: found endpoint %q, expected 1 to %d characters without / and control characters", rule, endpoint, maxEndpoint)
	}
	return api, endpoint, byEndpoint, access, nil
}

func isEndpoint(id string) bool {
	n := utf8.RuneCountInString(id)
	return n >= 1 && n <= maxEndpoint && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return r == '/' || unicode.IsControl(r) })
}

// allowRules writes restricted permissions as values of --allow.
func allowRules(p admin.Permissions) (rules []string) {
	for _, api := range slices.Sorted(maps.Keys(p.APIs)) {
		grant := p.APIs[api]
		if grant.Access != modeRestricted {
			rules = append(rules, api+"="+grant.Access)
			continue
		}
		for _, endpoint := range slices.Sorted(maps.Keys(grant.Endpoints)) {
			rules = append(rules, api+"/"+endpoint+"="+grant.Endpoints[endpoint])
		}
	}
	if len(rules) == 0 {
		return []string{nothing}
	}
	return rules
}
