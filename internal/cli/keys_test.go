package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestCreatePrintsTheSecretAloneOnStandardOutput(t *testing.T) {
	c := newGateway(t).console(t)
	r := c.ok("keys", "create", "ci", "--all", "--owner", "team-7", "--expires", "30d")
	secret := strings.TrimSuffix(r.out, "\n")
	if _, err := keys.ParseSecret("kw", secret); err != nil || strings.Count(r.out, "\n") != 1 {
		t.Errorf("standard output is %q", r.out)
	}
	if strings.Contains(r.err, secret) || !strings.Contains(r.err, "Created key \"ci\"") || !strings.Contains(r.err, "not shown again") {
		t.Errorf("standard error is %q", r.err)
	}
	if r := c.types(secret+"\n").ok("keys", "check", "-", "DELETE", "/rest/users/1"); !strings.HasPrefix(r.out, "allowed") {
		t.Errorf("the secret opens: %s", r.out)
	}
}

func TestCreateMakesWhatItsFlagsSay(t *testing.T) {
	c := newGateway(t).console(t)
	now := time.Now()
	for name, x := range map[string]struct {
		flags       []string
		permissions admin.Permissions
		admin       string
	}{
		"all":       {[]string{"--all"}, admin.Permissions{Mode: "all"}, "none"},
		"read only": {[]string{"--read-only", "--admin", "read"}, admin.Permissions{Mode: "read_only"}, "read"},
		"admin":     {[]string{"--admin", "write"}, admin.Permissions{Mode: "restricted"}, "write"},
		"restricted": {
			[]string{"--allow", "graphql=read", "--allow", "serverless/a,b=write", "--allow=rest=none"},
			admin.Permissions{Mode: "restricted", APIs: map[string]admin.APIPermissions{
				"graphql": {Access: "read"}, "rest": {Access: "none"},
				"serverless": {Access: "restricted", Endpoints: map[string]string{"a,b": "write"}},
			}},
			"none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			made := c.create(append(x.flags, name, "--owner", "o", "--expires", "1d")...)
			got := c.get(made.ID)
			if diff := cmp.Diff(x.permissions, got.Permissions); diff != "" && !(len(x.permissions.APIs) == 0 && got.Permissions.Mode == x.permissions.Mode && len(got.Permissions.APIs) == 0) {
				t.Error(diff)
			}
			if got.Name != name || got.Owner != "o" || got.Admin != x.admin || got.ExpiresAt == nil ||
				got.ExpiresAt.Sub(now) < 23*time.Hour || got.ExpiresAt.Sub(now) > 25*time.Hour {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestNamesThatLookLikeFlagsComeAfterTwoDashes(t *testing.T) {
	c := newGateway(t).console(t)
	if key := c.create("--all", "--", "--yes"); key.Name != "--yes" {
		t.Errorf("got %q", key.Name)
	}
}

func TestUnnamedKeyIsCalledByItsPrefix(t *testing.T) {
	c := newGateway(t).console(t)
	if key := c.create("--unnamed", "--all"); key.Name != key.Prefix {
		t.Errorf("the key %s is called %q", key.Prefix, key.Name)
	}
	c.fails(2, "NAME is empty", "keys", "create", "", "--all") // an empty variable is a slip
}

func TestAllowNoneIsAKeyThatOpensNothing(t *testing.T) {
	c := newGateway(t).console(t)
	nothing := admin.Permissions{Mode: "restricted", APIs: map[string]admin.APIPermissions{}}
	made := c.create("ci", "--allow", "none")
	if diff := cmp.Diff(nothing, made.Permissions); diff != "" {
		t.Errorf("created: %s", diff)
	}
	c.ok("keys", "edit", made.ID, "--all")
	c.ok("keys", "edit", made.ID, "--allow=none")
	if diff := cmp.Diff(nothing, c.get(made.ID).Permissions); diff != "" {
		t.Errorf("edited: %s", diff)
	}
}

func TestWrongUseEndsWithTwoAndChangesNothing(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	for _, x := range []struct{ args, says string }{
		{"keys nope", `unknown command "nope"`},
		{"keys create", "expected NAME: NAME is missing; give one, or --unnamed"},
		{"keys create ci --all --unnamed", `NAME "ci" and --unnamed exclude one another`},
		{"keys create ci --allow none --allow rest=read", "--allow none: expected API[/ENDPOINT]=none|read|write, or none alone"},
		{"keys edit key_1 --allow none --all", "exclude one another"},
		{"keys create ci", "nothing says what the key may do"},
		{"keys create ci --admin none", "nothing says what the key may do"},
		{"keys create ci more --all", `found one more: "more"`},
		{"keys create ci --all --read-only", "exclude one another"},
		{"keys create ci --all --allow rest=read", "exclude one another"},
		{"keys create ci --read-only --allow rest=read", "exclude one another"},
		{"keys create ci --allow rest", "expected API[/ENDPOINT]=none|read|write"},
		{"keys create ci --all --admin all", "--admin all: expected none, read or write"},
		{"keys create ci --all --expires yesterday", "--expires yesterday: expected a duration"},
		{"keys create ci --all --expires 2020-01-01", "is not in the future"},
		{"keys create ci --all --expires", "flag needs an argument"},
		{"keys create ci --all --nope", "unknown flag: --nope"},
		{"keys create ci --all -kkw_secret", "unknown flag: -k\n"},
		{"keys create ci --all=perhaps", "invalid"},
		{"keys list more", `expected no arguments, found "more"`},
		{"keys list --status gone", "--status gone: expected active, disabled or expired"},
		{"keys get", "ID is missing"},
		{"keys edit", "ID is missing"},
		{"keys edit key_1", "nothing to change"},
		{"keys edit key_1 --all --read-only", "exclude one another"},
		{"keys rotate key_1 --grace soon", "--grace soon: expected a duration"},
		{"keys rotate key_1 --grace -1s", "expected a duration from 0s to 30d"},
		{"keys rotate key_1 --grace 31d", "expected a duration from 0s to 30d"},
		{"keys delete", "ID is missing"},
		{"keys import", "FILE.jsonl is missing"},
		{"keys check key_1 GET", "PATH is missing"},
		{"keys check key_1 GET rest", "expected a path that begins with /"},
		{"keys list --address ftp://x", "--address: address"},
		{"login a b", `found one more: "b"`},
		{"login http://a --address http://b", "give one of them"},
		{"login --adapter caddyfile", "belongs to --config"},
		{"login ftp://x", "URL: address"},
		{"logout now", "expected no arguments"},
	} {
		r := c.fails(2, x.says, strings.Fields(x.args)...)
		if r.out != "" || !strings.Contains(r.err, "Usage: keywarden") || strings.Contains(r.err, "kw_secret") {
			t.Errorf("%s: standard output %q, standard error %q", x.args, r.out, r.err)
		}
	}
	c.fails(2, "--owner: expected an owner", "keys", "list", "--owner", "")
	for _, id := range []string{"", " "} {
		c.fails(2, "ID is empty", "keys", "delete", id, "--yes")
	}
	if list := c.ok("keys", "list"); list.out != "" || list.err != "No keys.\n" {
		t.Errorf("afterwards there are %s%s", list.out, list.err)
	}
}

func TestKeysAreNeverTakenFromAFlag(t *testing.T) {
	c := newConsole(t)
	for _, flag := range []string{"--key", "--admin-key", "--token", "--secret"} {
		for _, command := range [][]string{{"keys", "list"}, {"login"}} {
			r := c.fails(2, "never given as a flag", append(command, flag+"=kw_secret")...)
			if strings.Contains(r.err, "kw_secret") {
				t.Errorf("the error repeats the key: %s", r.err)
			}
		}
	}
}

func TestGetShowsAKeyButNoSecret(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--allow", "rest=read", "--owner", "team-7")
	r := c.ok("keys", "get", made.ID)
	for _, want := range []string{made.ID, "ci", "team-7", made.Prefix, "rest=read", "active", "never"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%s\nlacks %q", r.out, want)
		}
	}
	if strings.Contains(r.out, made.Secret) {
		t.Error("the secret is shown")
	}
	c.fails(1, "keys list shows the ids", "keys", "get", "key_nope")
	for _, id := range []string{"..", ".", "../whoami", "a/b", "é", "%2e%2e", strings.Repeat("k", 5000)} {
		c.fails(1, "Error: ", "keys", "get", id)
	}
}

func TestHostileNamesDoNotReachTheTerminal(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	name := "inv\u202Eoice" // the API refuses control characters, not these
	made := c.create(name, "--all", "--owner", "\u2066me")
	for _, r := range []result{
		c.ok("keys", "get", made.ID), c.ok("keys", "get", made.ID, "--json"), c.ok("keys", "list"), c.ok("keys", "list", "--json"),
		c.ok("keys", "disable", made.ID), c.ok("keys", "edit", made.ID, "--all"), c.run("keys", "delete", made.ID), c.ok("keys", "rotate", made.ID),
	} {
		if strings.ContainsAny(r.out+r.err, "\u202E\u2066") {
			t.Errorf("printed %q %q", r.out, r.err)
		}
	}
	if got := c.get(made.ID); got.Name != name {
		t.Errorf("--json changed the name to %q", got.Name)
	}
}

func TestEditChangesWhatItsFlagsNameAndNothingElse(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--all", "--owner", "team-7", "--expires", "30d", "--admin", "read")
	before := c.get(made.ID)
	for name, x := range map[string]struct {
		flags []string
		want  func(*admin.Key)
	}{
		"name":  {[]string{"--name", "deploy bot"}, func(k *admin.Key) { k.Name = "deploy bot" }},
		"owner": {[]string{"--owner", ""}, func(k *admin.Key) { k.Owner = "" }},
		"permissions": {[]string{"--allow", "rest=read"}, func(k *admin.Key) {
			k.Permissions = admin.Permissions{Mode: "restricted", APIs: map[string]admin.APIPermissions{"rest": {Access: "read"}}}
		}},
		"mode":   {[]string{"--read-only"}, func(k *admin.Key) { k.Permissions = admin.Permissions{Mode: "read_only"} }},
		"expiry": {[]string{"--expires", "never"}, func(k *admin.Key) { k.ExpiresAt = nil }},
		"admin":  {[]string{"--admin", "none"}, func(k *admin.Key) { k.Admin = "none" }},
	} {
		want := c.get(made.ID)
		x.want(&want)
		if r := c.ok(append([]string{"keys", "edit", made.ID}, x.flags...)...); r.out != "" || !strings.Contains(r.err, "Changed key") {
			t.Errorf("%s: printed %q %q", name, r.out, r.err)
		}
		got := c.get(made.ID)
		got.UpdatedAt, want.UpdatedAt = before.UpdatedAt, before.UpdatedAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	c.fails(1, "name", "keys", "edit", made.ID, "--name", strings.Repeat("x", 101))
	c.fails(1, "permissions.apis.nope", "keys", "edit", made.ID, "--allow", "nope=read")
}

func TestDisabledKeysAreRefusedUntilTheyAreEnabled(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--all")
	c.ok("keys", "disable", made.ID)
	c.ok("keys", "disable", made.ID)
	if r := c.run("keys", "check", made.ID, "GET", "/rest/x"); r.status != 1 || !strings.Contains(r.out, "disabled_key") {
		t.Errorf("got %+v", r)
	}
	if r := c.ok("keys", "enable", made.ID); !strings.Contains(r.err, "active") || r.out != "" {
		t.Errorf("got %+v", r)
	}
	c.ok("keys", "check", made.ID, "GET", "/rest/x")
}

func TestOnlyYOrYesDeletes(t *testing.T) {
	c := newGateway(t).console(t)
	for answer, deletes := range map[string]bool{
		"y\n": true, "yes\n": true, "y": true, " yes \r\n": true,
		"": false, "\n": false, "n\n": false, "Y E S\n": false, "yep\n": false, "ye\n": false, "\ny\n": false, "n\ny\n": false, "да\n": false,
	} {
		made := c.create("ci", "--all")
		r := c.types(answer).run("keys", "delete", made.ID)
		gone := c.run("keys", "get", made.ID).status == 1
		if gone != deletes || (r.status == 0) != deletes {
			t.Errorf("%q: status %d, deleted %v; want %v", answer, r.status, gone, deletes)
		}
		for _, want := range []string{`"ci"`, made.ID, made.Prefix, "last used never"} {
			if !strings.Contains(r.err, want) {
				t.Errorf("the question lacks %q: %s", want, r.err)
			}
		}
	}
	c.fails(1, "give --yes", "keys", "delete", c.create("ci", "--all").ID)
	c.ok("keys", "delete", c.create("ci", "--all").ID, "--yes")
}

// changing changes the key when the question is read, as somebody else might.
type changing struct {
	answer *strings.Reader
	change func()
}

func (c *changing) Read(p []byte) (int, error) {
	if c.change != nil {
		c.change()
		c.change = nil
	}
	return c.answer.Read(p)
}

func TestAKeyThatChangedWhileAskingIsNotDeleted(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	made := c.create("ci", "--all")
	c.stdin = &changing{strings.NewReader("y\n"), func() { g.console(t).ok("keys", "edit", made.ID, "--name", "production, keep!") }}
	c.fails(1, "Nothing was changed", "keys", "delete", made.ID)
	c.get(made.ID)
}

func TestRotateHandsOutANewSecretAndTheOldOneLivesItsGrace(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--all")
	r := c.ok("keys", "rotate", made.ID, "--grace", "1d")
	fresh := strings.TrimSuffix(r.out, "\n")
	if _, err := keys.ParseSecret("kw", fresh); err != nil || fresh == made.Secret || strings.Contains(r.err, fresh) {
		t.Fatalf("got %+v", r)
	}
	if !strings.Contains(r.err, "The old secret "+made.Prefix+" works until") {
		t.Errorf("got %s", r.err)
	}
	c.types(made.Secret).ok("keys", "check", "-", "GET", "/rest/x")
	c.types(fresh).ok("keys", "check", "-", "GET", "/rest/x")

	var again admin.KeyWithSecret
	c.decode(c.ok("keys", "rotate", made.ID, "--json").out, &again)
	for _, secret := range []string{made.Secret, fresh} {
		if r := c.types(secret).run("keys", "check", "-", "GET", "/rest/x"); r.status != 1 || !strings.Contains(r.out, "unknown_key") {
			t.Errorf("an old secret: %+v", r)
		}
	}
	c.types(again.Secret).ok("keys", "check", "-", "GET", "/rest/x")
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestASecretThatCannotBeWrittenIsReportedAsLost(t *testing.T) {
	c := newGateway(t).console(t)
	var errs strings.Builder
	if status := c.execute(t.Context(), brokenPipe{}, &errs, "keys", "create", "ci", "--all"); status != 1 ||
		!strings.Contains(errs.String(), "no space left") || !strings.Contains(errs.String(), "keywarden keys rotate key_") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}

func TestCheckTellsTheDecisionAndFailsWhereRefused(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--allow", "rest=read", "--allow", "serverless/abc=write")
	for _, x := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/rest/users", 0, "allowed: needs read on rest, has read"},
		{"get", "/rest/users?page=1", 0, "allowed"},
		{"POST", "/v2/abc/run", 0, "allowed: needs write on serverless/abc, has write"},
		{"GET", "/healthz", 0, "allowed: public"},
		{"POST", "/rest/users", 1, "refused: 403 insufficient_access: needs write on rest"},
		{"POST", "/rest/search", 0, "allowed: needs read on rest"},
		{"GET", "/v2/def/run", 1, "refused: 403 insufficient_access"},
		{"GET", "/nothing", 1, "refused: 404 no_such_api"},
		{"GET", "/rest/%2e%2e/x", 1, "refused: 400 ambiguous_request"},
		{"TRACE", "/rest/users", 1, "refused: 405 method_not_allowed"},
	} {
		r := c.run("keys", "check", made.ID, x.method, x.path)
		if r.status != x.status || !strings.HasPrefix(r.out, x.says) || r.err != "" {
			t.Errorf("%s %s: got %+v, want status %d and %q", x.method, x.path, r, x.status, x.says)
		}
	}
	r := c.run("keys", "check", made.ID, "POST", "/rest/users", "--json")
	var answer admin.CheckAnswer
	c.decode(r.out, &answer)
	if r.status != 1 || answer.Allowed || answer.Code != "insufficient_access" {
		t.Errorf("--json: %+v", r)
	}
	if r := c.types("kw_nonsense\n").run("keys", "check", "-", "GET", "/rest/users"); r.status != 1 || !strings.Contains(r.out, "unknown_key") {
		t.Errorf("an unknown secret: %+v", r)
	}
	c.fails(1, "standard input is empty", "keys", "check", "-", "GET", "/rest/users")
	c.fails(1, "no_such_key", "keys", "check", "key_nope", "GET", "/rest/users")
}

func TestListShowsAllPages(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	const n = 450
	var file strings.Builder
	for i := range n {
		fmt.Fprintln(&file, line(i))
	}
	c.types(file.String()).ok("keys", "import", "-")
	table := c.ok("keys", "list").out
	if got := strings.Count(table, "\n"); got != n+1 || !strings.HasPrefix(table, "ID ") {
		t.Errorf("the table has %d lines, want %d", got, n+1)
	}
	var list admin.KeyList
	c.decode(c.ok("keys", "list", "--json").out, &list)
	seen := map[string]bool{}
	for _, key := range list.Data {
		seen[key.ID] = true
	}
	if len(seen) != n || len(list.Data) != n {
		t.Errorf("the document has %d keys, %d of them different; want %d", len(list.Data), len(seen), n)
	}
}

func TestListFilters(t *testing.T) {
	c := newGateway(t).console(t)
	a := c.create("Mobile App", "--all", "--owner", "team-7")
	b := c.create("batch", "--read-only")
	c.ok("keys", "disable", b.ID)
	for _, x := range []struct {
		flags []string
		want  []string
	}{
		{nil, []string{b.ID, a.ID}},
		{[]string{"--owner", "team-7"}, []string{a.ID}},
		{[]string{"--owner", "nobody"}, nil},
		{[]string{"--status", "disabled"}, []string{b.ID}},
		{[]string{"--query", "mobile"}, []string{a.ID}},
		{[]string{"--query", b.Prefix}, []string{b.ID}},
		{[]string{"--query", "a&b=c"}, nil},
	} {
		var list admin.KeyList
		c.decode(c.ok(append([]string{"keys", "list", "--json"}, x.flags...)...).out, &list)
		var got []string
		for _, key := range list.Data {
			got = append(got, key.ID)
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%v: %s", x.flags, diff)
		}
	}
	if r := c.ok("keys", "list", "--json", "--query", "nothing"); r.out != "{\"data\":[]}\n" {
		t.Errorf("an empty list is %q", r.out)
	}
}

func TestHelpHasAnExampleForEveryCommand(t *testing.T) {
	c := newConsole(t)
	if r := c.ok("keys"); !strings.Contains(r.out, "Available Commands") {
		t.Errorf("keys alone: %s", r.out)
	}
	for _, command := range []string{"login", "logout", "keys create", "keys list", "keys get", "keys edit", "keys enable", "keys disable", "keys delete", "keys rotate", "keys import", "keys check"} {
		r := c.ok(append(strings.Fields(command), "--help")...)
		if !strings.Contains(r.out, "Examples:\n  ") || !strings.Contains(r.out, "keywarden "+command) {
			t.Errorf("%s --help: %s", command, r.out)
		}
	}
}
