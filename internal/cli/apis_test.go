package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/admin"
)

func TestEndpointsAreRegisteredListedAndForgotten(t *testing.T) {
	c := newGateway(t).console(t)
	for _, title := range []string{"Image resizer", "Images"} {
		if r := c.ok("apis", "register", "serverless/abc 123", "--title", title); r.out != "" || !strings.Contains(r.err, "Registered serverless/abc 123") {
			t.Errorf("it printed %q, %q", r.out, r.err)
		}
	}
	r := c.ok("apis", "list")
	for _, want := range []string{"graphql", "/v2/{endpoint}/*", "serverless/abc 123  Images"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%s\nlacks %q", r.out, want)
		}
	}
	var listed admin.APIList
	must(t, json.Unmarshal([]byte(c.ok("apis", "list", "--json").out), &listed))
	if len(listed.Data) != 3 {
		t.Errorf("%d APIs, want 3", len(listed.Data))
	}
	c.ok("apis", "forget", "serverless/abc 123")
	if r := c.ok("apis", "list"); strings.Contains(r.out, "abc 123") {
		t.Errorf("still listed:\n%s", r.out)
	}
	if r := c.run("apis", "forget", "serverless/abc 123"); r.status != 1 || r.err == "" {
		t.Errorf("forgetting it again: %d %q", r.status, r.err)
	}
}

func TestWrongEndpointsAreRefused(t *testing.T) {
	c := newGateway(t).console(t)
	for args, want := range map[string]int{
		"apis register serverless": 2, "apis register /x": 2, "apis register serverless/": 2, "apis register a/b/c": 2,
		"apis register": 2, "apis nope": 2, "apis list x": 2, "apis register nosuch/x": 1, "apis forget nosuch/x": 1,
	} {
		if r := c.run(strings.Fields(args)...); r.status != want || r.err == "" || r.out != "" {
			t.Errorf("%s: %d %q %q, want %d", args, r.status, r.out, r.err, want)
		}
	}
}
