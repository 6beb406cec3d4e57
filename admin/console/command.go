package console

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// change is a change that the console makes, as programs would make it: the
// call of the API, and the command that makes the same call.
type change struct {
	Curl, Command string
	Why           string // there is no command
}

// curl returns the call for a shell. The admin key is a variable: nobody
// should paste it into a command line that is remembered.
func (v *visit) curl(method, path, etag string, body any) string {
	lines := []string{"curl"}
	if method != "GET" {
		lines[0] += " -X " + method
	}
	lines[0] += " " + quote(v.Address(v.r)+path)
	lines = append(lines, `-H "Authorization: Bearer $KEYWARDEN_ADMIN_KEY"`)
	if etag != "" {
		lines = append(lines, "-H "+quote("If-Match: "+etag))
	}
	if body != nil {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(body); err != nil { // wire types have nothing that JSON has not
			return ""
		}
		lines = append(lines, "-H 'Content-Type: application/json'", "-d "+quote(strings.TrimSpace(text.String())))
	}
	return strings.Join(lines, " \\\n  ")
}

// command returns a command of keywarden keys for a shell.
func command(words ...string) string { return shell("keywarden keys ", words) }

func shell(program string, words []string) string {
	for i, word := range words {
		words[i] = quote(word)
	}
	return program + strings.Join(words, " ")
}

// quote makes a text one word of a POSIX shell.
func quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// creation returns how else the key of r could be made.
func (v *visit) creation(r admin.CreateRequest) change {
	words := append([]string{"create"}, permissionFlags(r.Permissions)...)
	if r.Owner != "" {
		words = append(words, "--owner="+r.Owner)
	}
	if r.Admin != "" && r.Admin != "none" {
		words = append(words, "--admin="+r.Admin)
	}
	if r.ExpiresAt != nil {
		words = append(words, "--expires="+r.ExpiresAt.Format(time.RFC3339))
	}
	words = append(words, sourceFlags(r.Sources)...)
	if r.Name != nil {
		words = append(words, "--", *r.Name)
	} else {
		words = append(words, "--unnamed")
	}
	return change{Curl: v.curl("POST", "/v1/keys", "", r), Command: command(words...)}
}

// edition returns how else the key could be changed.
func (v *visit) edition(id, etag string, p admin.Patch) change {
	made := change{Curl: v.curl("PATCH", keyPath(id), etag, p)}
	if reflect.DeepEqual(p, admin.Patch{}) {
		made.Why = "Nothing is changed yet."
		return made
	}
	words := []string{"edit", id}
	if p.Name != nil {
		words = append(words, "--name="+*p.Name)
	}
	if p.Owner != nil {
		words = append(words, "--owner="+*p.Owner)
	}
	if p.Admin != nil {
		words = append(words, "--admin="+*p.Admin)
	}
	if p.Permissions != nil {
		words = append(words, permissionFlags(*p.Permissions)...)
	}
	if p.ExpiresAt != nil {
		when := "never"
		if !p.ExpiresAt.IsZero() {
			when = p.ExpiresAt.Format(time.RFC3339)
		}
		words = append(words, "--expires="+when)
	}
	if p.Sources != nil {
		words = append(words, sourceFlags(*p.Sources)...)
		if len(*p.Sources) == 0 {
			words = append(words, "--allow-from=anywhere")
		}
	}
	made.Command = command(words...)
	return made
}

func sourceFlags(list []string) []string {
	flags := make([]string, len(list))
	for i, network := range list {
		flags[i] = "--allow-from=" + network
	}
	return flags
}

// permissionFlags returns p as the command takes it.
func permissionFlags(p admin.Permissions) []string {
	switch p.Mode {
	case "all":
		return []string{"--all"}
	case "read_only":
		return []string{"--read-only"}
	}
	var flags []string
	for _, name := range sortedNames(p.APIs) {
		api := p.APIs[name]
		if api.Access != "restricted" {
			flags = append(flags, "--allow="+name+"="+api.Access)
			continue
		}
		for _, id := range sortedNames(api.Endpoints) {
			flags = append(flags, "--allow="+name+"/"+id+"="+api.Endpoints[id])
		}
	}
	if len(flags) == 0 {
		return []string{"--allow=none"}
	}
	return flags
}

func keyPath(id string) string { return "/v1/keys/" + id }

// rotation returns how else the key could get a new secret.
func (v *visit) rotation(id, etag string, grace time.Duration) change {
	words := []string{"rotate", id}
	if grace > 0 {
		words = append(words, "--grace="+strconv.Itoa(int(grace/time.Second))+"s")
	}
	return change{
		Curl:    v.curl("POST", keyPath(id)+"/rotate", etag, admin.RotateRequest{GraceSeconds: int64(grace / time.Second)}),
		Command: command(words...),
	}
}
