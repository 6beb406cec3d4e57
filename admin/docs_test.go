package admin_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheDocsPageNeedsNoOtherHost(t *testing.T) {
	s := newSite(t)
	page := s.do("GET", "/docs", "", "Authorization: ").want(200)
	if regexp.MustCompile(`(?i)(https?:)?//`).MatchString(page.text) {
		t.Errorf("the page names another host:\n%s", page.text)
	}
	if regexp.MustCompile(`(?i)<script>|<style|\son\w+=|\sstyle=`).MatchString(page.text) {
		t.Errorf("the page holds script or style:\n%s", page.text)
	}
	references := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.text, -1)
	served := 0
	for _, reference := range references {
		if strings.HasPrefix(reference[1], "data:") {
			continue
		}
		served++
		asset := s.do("GET", "/"+reference[1], "", "Authorization: ").want(200)
		if asset.text == "" {
			t.Errorf("%s is empty", reference[1])
		}
		want := map[bool]string{true: "text/css; charset=utf-8", false: "text/javascript; charset=utf-8"}[strings.HasSuffix(reference[1], ".css")]
		if strings.HasSuffix(reference[1], ".json") {
			want = "application/openapi+json"
		}
		if got := asset.header.Get("Content-Type"); got != want {
			t.Errorf("%s is %q", reference[1], got)
		}
		checkPolicy(t, asset)
	}
	if served != 4 {
		t.Errorf("the page refers to %d files, want 4", served)
	}
	checkPolicy(t, page)
	script := s.do("GET", "/docs/init.js", "").text
	if !strings.Contains(script, "validatorUrl: null") || strings.Contains(script, "//petstore") {
		t.Errorf("the page is set up by\n%s", script)
	}
}

func checkPolicy(t *testing.T, r response) {
	t.Helper()
	policy := r.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %q", policy)
	}
}

func TestAssetsComeCompressedOrNotAsAsked(t *testing.T) {
	s := newSite(t)
	plain := s.do("GET", "/docs/swagger-ui.css", "", "Accept-Encoding: identity").want(200)
	if plain.header.Get("Content-Encoding") != "" || !strings.Contains(plain.text, ".swagger-ui") {
		t.Errorf("uncompressed: %v", plain.header)
	}
	packed := s.do("GET", "/docs/swagger-ui.css", "", "Accept-Encoding: gzip, br").want(200)
	reader, err := gzip.NewReader(strings.NewReader(packed.text))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil || packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Vary") != "Accept-Encoding" || string(unpacked) != plain.text {
		t.Errorf("compressed: %v, %v", packed.header, err)
	}
	if refused := s.do("GET", "/docs/swagger-ui.css", "", "Accept-Encoding: gzip;q=0").want(200); refused.header.Get("Content-Encoding") != "" {
		t.Error("gzip was sent to a client that refuses it")
	}
}

func TestTheAssetsAreTheOnesThatWereFetched(t *testing.T) {
	sums, err := os.ReadFile("docs/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(sums) {
		want, name, _ := strings.Cut(strings.TrimSpace(string(line)), "  ")
		content, err := os.ReadFile("docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != want {
			t.Errorf("%s has the sum %x", name, got)
		}
	}
}
