package caddymodule

import (
	"runtime/debug"
	"testing"
)

func TestTheVersionIsTheProductsAndNotCaddys(t *testing.T) {
	caddys := &debug.Module{Path: "github.com/caddyserver/caddy/v2", Version: "v2.11.9"}
	ours := &debug.Module{Path: modulePath, Version: "v1.2.3"}
	for name, c := range map[string]struct {
		info   debug.BuildInfo
		custom string
		want   string
	}{
		"our release":           {debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "(devel)"}, Deps: []*debug.Module{caddys}}, "v1.4.0", "v1.4.0"},
		"go install":            {debug.BuildInfo{Main: *ours, Deps: []*debug.Module{caddys}}, "", "v1.2.3"},
		"nothing is known":      {debug.BuildInfo{Main: debug.Module{Path: modulePath}}, "", "unknown"},
		"a Caddy with plugins":  {debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{caddys, ours}}, "custom", "v1.2.3"},
		"one from a folder":     {debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{{Path: modulePath, Replace: &debug.Module{Path: "../keywarden"}}}}, "", "unknown"},
		"one from another fork": {debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{{Path: modulePath, Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1"}}}}, "", "v1.0.1"},
		"without the module":    {debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{caddys}}, "", "unknown"},
	} {
		if got := versionOf(&c.info, c.custom); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
