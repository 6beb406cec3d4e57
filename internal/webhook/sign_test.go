package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"
)

const (
	// The specification's example.
	testSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

func mustSecret(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSpecificationsExampleIsSignedAsItSays(t *testing.T) {
	got := sign([]Secret{mustSecret(t, testSecret)}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestReceiversVerifyWhatIsSignedAndNothingElse(t *testing.T) {
	receiver, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := standardwebhooks.NewWebhook("whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB")
	if err != nil {
		t.Fatal(err)
	}
	secrets := []Secret{mustSecret(t, otherSecret), mustSecret(t, testSecret)}
	rapid.Check(t, func(t *rapid.T) {
		id, body := rapid.StringMatching(`msg_[0-9a-f]{32}`).Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		at := time.Now()
		header := http.Header{}
		header.Set("Webhook-Id", id)
		header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		header.Set("Webhook-Signature", sign(secrets, id, at, body))
		if err := receiver.Verify(body, header); err != nil {
			t.Fatalf("the receiver: %v", err)
		}
		if stranger.Verify(body, header) == nil || receiver.Verify(append(body, 'x'), header) == nil {
			t.Fatal("what was not signed is verified")
		}
		header.Set("Webhook-Id", id+"0")
		if receiver.Verify(body, header) == nil {
			t.Fatal("another message's signature is verified")
		}
	})
}

func TestASecretThatSignsBadlyIsRefusedAndNotRepeated(t *testing.T) {
	for _, text := range []string{
		"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8G", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
		"WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + strings.Repeat("A", 88), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=",
	} {
		_, err := ParseSecret(text)
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		if rest := strings.TrimPrefix(text, "whsec_"); rest != "" && strings.Contains(err.Error(), rest) {
			t.Errorf("%q is repeated: %v", text, err)
		}
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	secret := mustSecret(t, testSecret)
	for _, text := range []string{fmt.Sprint(secret), fmt.Sprintf("%v %+v %#v %s %q %x", secret, secret, secret, secret, secret, secret)} {
		if strings.Contains(text, "MfKQ") || strings.Contains(text, "31f2") {
			t.Errorf("printed: %s", text)
		}
	}
}
