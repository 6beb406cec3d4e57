package keys

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The checksum worked by hand from the contract's words, independent of the
// code: CRC-32 (IEEE) of everything before it, base62 0-9A-Za-z, padded.
func byHand(body string) string {
	n := crc32.ChecksumIEEE([]byte(body))
	var out string
	for n > 0 {
		out = string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[n%62]) + out
		n /= 62
	}
	return strings.Repeat("0", 6-len(out)) + out
}

func TestNewSecretHasTheContractsFormat(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s, err := NewSecret("acme_live", nil)
		if err != nil {
			t.Fatal(err)
		}
		text := s.Reveal()
		body, sum := text[:len(text)-6], text[len(text)-6:]
		if !strings.HasPrefix(text, "acme_live_") || len(text) != len("acme_live_")+38 || sum != byHand(body) {
			t.Fatalf("secret of the wrong form: prefix %q, %d characters", s.Prefix(), len(text))
		}
		if seen[text] {
			t.Fatal("the same secret twice")
		}
		seen[text] = true
		if s.Prefix() != text[:len("acme_live_")+8] {
			t.Fatalf("displayed prefix is %q", s.Prefix())
		}
		if back, err := ParseSecret("acme_live", text); err != nil || back != s {
			t.Fatalf("parsing it back: %v", err)
		}
	}
}

// Known answers, so that no later version reads secrets differently: made with
// Python's zlib.crc32 and hashlib.sha256, not with this package.
func TestVectors(t *testing.T) {
	for text, digest := range map[string]string{
		"kw_000000000000000000000000000000001vXtxm": "45637df2766cce205ee81383bad77490b539e91ed9193b3935249128166389e1",
		"kw_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz19XE6G": "2568df6466a6a4fb461670a87a49f44394aa6531e0427ff466c339506e9a4f33",
		"a_0123456789ABCDEFGHIJKLMNOPQRSTUV0SgXWC":  "22be2beadff450e07652e2e1a1d8fac044abb2d977b45fd5c4dd9560daf1f868",
	} {
		prefix, _, _ := strings.Cut(text, "_")
		s, err := ParseSecret(prefix, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := fmt.Sprintf("%x", [32]byte(s.Digest())); got != digest {
			t.Errorf("%s has the digest %s, want %s", text, got, digest)
		}
	}
}

func TestEveryOneCharacterChangeIsRefused(t *testing.T) {
	s, err := NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	text := s.Reveal()
	for i := range len(text) {
		for _, c := range []byte("0Az_-. \x00\xff") {
			if c == text[i] {
				continue
			}
			changed := text[:i] + string([]byte{c}) + text[i+1:]
			if _, err := ParseSecret("kw", changed); !errors.Is(err, ErrMalformed) {
				t.Fatalf("character %d changed to %q: %v", i, c, err)
			}
		}
	}
	for _, bad := range []string{"", "kw", "kw_", text[1:], text[:len(text)-1], text + "0", " " + text, text + "\n", strings.ToUpper(text), "KW" + text[2:], strings.Repeat(text, 1000)} {
		if _, err := ParseSecret("kw", bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d characters starting %.6q were accepted", len(bad), bad)
		}
	}
}

// Eight characters are judged at once: each of them must be judged as if it
// stood alone.
func TestEveryByteIsJudgedByItselfInEveryPlace(t *testing.T) {
	for _, beside := range []byte("0zZ9aA/:@[`{\x00\x7f\x80\xff") {
		for place := range 8 {
			for c := range 256 {
				eight := bytes.Repeat([]byte{beside}, 8)
				eight[place] = byte(c)
				marks := outsideAlphabet(binary.LittleEndian.Uint64(eight))
				for i, b := range eight {
					if got, want := byte(marks>>(8*i)) != 0, !strings.ContainsRune(alphabet, rune(b)); got != want {
						t.Fatalf("%q, byte %d: outside the alphabet is %t", eight, i, got)
					}
				}
			}
		}
	}
}

func TestARightChecksumDoesNotMakeUpForStrangeCharacters(t *testing.T) {
	body := "kw_" + strings.Repeat("a", 32)
	for i := len("kw_"); i < len(body); i++ {
		for _, c := range []byte("-_ /:@[`{\x00\x7f\x80\xff") {
			changed := body[:i] + string([]byte{c}) + body[i+1:]
			if _, err := ParseSecret("kw", changed+byHand(changed)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("character %d is %q: %v", i, c, err)
			}
		}
	}
	if _, err := ParseSecret("kw", body+byHand(body)); err != nil {
		t.Error(err)
	}
}

// Six digits can say more than 32 bits: a greater number must not be taken
// for what is left of it.
func TestAChecksumBeyond32BitsIsRefused(t *testing.T) {
	var body string
	var sum uint64
	for i := 0; body == ""; i++ {
		text := fmt.Sprintf("kw_%032d", i)
		if sum = uint64(crc32.ChecksumIEEE([]byte(text))) + 1<<32; sum < 62*62*62*62*62*62 {
			body = text
		}
	}
	var digits [6]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%62]
		sum /= 62
	}
	if _, err := ParseSecret("kw", body+string(digits[:])); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestPrefixRules(t *testing.T) {
	for prefix, good := range map[string]bool{
		"kw": true, "a": true, "acme_live": true, "a0_9": true, "a1234567890123456789": true,
		"": false, "a12345678901234567890": false, "_a": false, "a_": false, "0a": false, "A": false, "a-b": false, "é": false, "a b": false, "a\n": false,
	} {
		if err := CheckPrefix(prefix); (err == nil) != good {
			t.Errorf("CheckPrefix(%q) = %v, want good %t", prefix, err, good)
		}
	}
}

func TestPrintingASecretShowsItsPrefixOnly(t *testing.T) {
	ours, err := NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ForeignSecret(`sk-"legacy\0123456789abcdef0123456789`)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Secret{ours, theirs} {
		type record struct{ Secret Secret }
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
			fmt.Fprintf(&out, verb+verb+"\n", s, record{s})
			fmt.Fprintf(&out, verb+"\n", &s)
		}
		fmt.Fprintln(&out, fmt.Errorf("wrapping: %v", s))
		text, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": record{s}})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "record", record{s})
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "record", record{s})
		for _, form := range []string{s.Reveal(), s.Reveal()[12:], fmt.Sprintf("%x", s.Reveal())} {
			if strings.Contains(out.String(), form) {
				t.Fatalf("the secret was printed:\n%s", out.String())
			}
		}
	}
}

func TestForeignSecrets(t *testing.T) {
	for _, good := range []string{"x", "sk-live-1234", strings.Repeat("a", MaxSecretLen)} {
		s, err := ForeignSecret(good)
		if err != nil {
			t.Errorf("%.10q: %v", good, err)
		}
		if p := s.Prefix(); len(p) > 8 || len(p) > len(good)/2 {
			t.Errorf("displayed prefix %q shows too much", p)
		}
	}
	for _, bad := range []string{"", "a b", "a\tb", "ä", "a\x00", strings.Repeat("a", MaxSecretLen+1)} {
		if _, err := ForeignSecret(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.10q was accepted", bad)
		}
	}
}

func TestAnyPrefixRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching(`[a-z]([a-z0-9_]{0,18}[a-z0-9])?`).Draw(t, "prefix")
		s, err := NewSecret(prefix, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSecret(prefix, s.Reveal()); err != nil {
			t.Fatal(err)
		}
		if s.Prefix() != s.Reveal()[:len(prefix)+9] {
			t.Fatalf("displayed prefix %q", s.Prefix())
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	s, err := NewSecret("kw", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("kw", s.Reveal())
	f.Add("kw", "")
	f.Add("", "_"+strings.Repeat("0", 38))
	f.Fuzz(func(t *testing.T, prefix, text string) {
		s, err := ParseSecret(prefix, text)
		if err != nil {
			return
		}
		body := text[:len(text)-6]
		if text != body+byHand(body) || !strings.HasPrefix(text, prefix+"_") || s.Reveal() != text {
			t.Fatalf("accepted %q", text)
		}
	})
}

func BenchmarkParseAndDigest(b *testing.B) {
	s, err := NewSecret("kw", nil)
	if err != nil {
		b.Fatal(err)
	}
	text := s.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		s, err := ParseSecret("kw", text)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Digest()
	}
}
