package caddymodule

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func testMask() *mask {
	return newMask().with(gate.Credentials{Headers: []string{"X-My-Key"}, Queries: []string{"key", "api key"}})
}

func testSecret(t interface{ Fatal(...any) }) string {
	secret, err := keys.NewSecret("acme_live", bytes.NewReader(bytes.Repeat([]byte{7, 99, 200, 3}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

func TestSecretsAreMaskedWhereverTheyStand(t *testing.T) {
	secret := testSecret(t)
	encoded := strings.Replace(secret, "_", "%5F", 2)
	every := ""
	for _, c := range []byte(secret) {
		every += fmt.Sprintf("%%%02x", c)
	}
	twice := url.QueryEscape(url.QueryEscape(strings.ReplaceAll(every, "%5f", "_")))
	for _, form := range []string{secret, encoded, every, strings.ToUpper(every[:3]) + every[3:], twice, url.QueryEscape(every)} {
		for _, text := range []string{
			"%s", "/path?a=%s", "/path/%s/more", "Bearer %s", "a %s b %s c", "{\"k\":\"%s\"}", "https://x/?r=%%2Fa%%3Fk%%3D%s", "(%s)", "%s,%s;%s", "é%sé", "%s%s", "%s_%s",
		} {
			got := maskShapes(strings.ReplaceAll(text, "%s", form))
			if strings.Contains(got, form) || strings.Contains(got, secret[12:30]) {
				t.Errorf("%q with %q: %q", text, form, got)
			}
			if !strings.Contains(got, redacted) {
				t.Errorf("%q with %q: nothing is masked: %q", text, form, got)
			}
		}
	}
}

func TestSecretsWithNothingBetweenThemAreMasked(t *testing.T) {
	secret := "kw_" + strings.Repeat("a7", 19)
	for _, text := range []string{secret + secret, secret + "_" + secret[3:], secret + "%5F" + secret[3:], secret + "kw%5f" + secret[3:]} {
		if got := maskShapes(text); got != redacted {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	for _, text := range []string{
		"", "/", "/rest/users?page=2&limit=50", "GET /a_b/c_d HTTP/1.1", "key_01jd2abcdef0123456789abcdef012345", "kw_3fGh81Qz",
		"3f786850e387550fdab836ed7e6dc881de23001b", "a%", "%zz%", "_" + strings.Repeat("a", 60), "prefix_" + strings.Repeat("a", 37) + "-b",
		"X_API_KEY_" + strings.Repeat("é", 60), "token=abc", "monkey=1", "keys=1",
	} {
		if got := testMask().text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestParametersThatHoldSecretsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"/a?key=legacy":               "/a?key=REDACTED",
		"/a?x=1&key=le;g'ac,y&y=2":    "/a?x=1&key=REDACTED&y=2",
		"/a?KEY=legacy#f":             "/a?KEY=REDACTED#f",
		"/a?%6bey=legacy":             "/a?%6bey=REDACTED",
		"/a?%256bey=legacy":           "/a?%256bey=REDACTED",
		"/a?api%20key=legacy":         "/a?api%20key=REDACTED",
		"/a?key=":                     "/a?key=",
		"/a?key":                      "/a?key",
		"/a?key=a&key=b":              "/a?key=REDACTED&key=REDACTED",
		"key=legacy":                  "key=REDACTED",
		`Get "http://h/?key=l": down`: `Get "http://h/?key=REDACTED": down`,
		"/a?next=%2Fb%3Fkey%3Dlegacy%26c%3D1&d=2": "/a?next=%2Fb%3Fkey%3DREDACTED%26c%3D1&d=2",
		"/a?key=le%26gacy&b=1":                    "/a?key=REDACTED&b=1",
		"/a?key=a=b":                              "/a?key=REDACTED",
	} {
		if got := testMask().text(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestHeadersThatHoldSecretsAreMasked(t *testing.T) {
	m := testMask()
	for _, name := range []string{"X-Api-Key", "x-api-key", "X_API_KEY", "X-My-Key", "X.my_key", "Authorization", "Proxy-Authorization"} {
		if got := m.header(name, []string{"legacy", "two"}); len(got) != 1 || got[0] != redacted {
			t.Errorf("%s: %v", name, got)
		}
	}
	values := []string{"harmless", "http://x/?key=legacy"}
	if got := m.header("Referer", values); got[0] != "harmless" || got[1] != "http://x/?key=REDACTED" {
		t.Errorf("Referer: %v", got)
	}
	if values[1] != "http://x/?key=legacy" {
		t.Error("the request's own header was changed")
	}
}

func TestNoEncodingHidesASecretFromTheMask(t *testing.T) {
	secret := testSecret(t)
	rapid.Check(t, func(t *rapid.T) {
		var form strings.Builder
		for _, c := range []byte(secret) {
			text := string(c)
			for range rapid.IntRange(0, 3).Draw(t, "times") {
				var again strings.Builder
				if text == string(c) {
					fmt.Fprintf(&again, "%%%02X", c)
				} else {
					again.WriteString("%25" + text[1:])
				}
				text = again.String()
			}
			form.WriteString(text)
		}
		before := rapid.String().Draw(t, "before")
		after := rapid.StringMatching(`[^0-9A-Za-z%]?`).Draw(t, "after")
		if got := maskShapes(before + form.String() + after); !strings.Contains(got, redacted) || strings.Contains(got, secret[11:20]) {
			t.Fatalf("%q is not masked in %q", form.String(), got)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add("/a?key=legacy&b=kw_00000000000000000000000000000000000000")
	f.Add("%25%35%46%")
	f.Add("0_" + strings.Repeat("0", 40) + "_" + strings.Repeat("0", 40))
	f.Fuzz(func(t *testing.T, text string) {
		m := testMask()
		once := m.text(text)
		if twice := m.text(once); twice != once {
			t.Fatalf("masking %q twice gives %q, then %q", text, once, twice)
		}
	})
}
