package route

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestMethodParametersInTheURL(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "a=b": false, "method=DELETE": false, "x_method=DELETE": false, "_methods=x": false, "a=_method": false, "_metho=x": false,
		"_method=DELETE": true, "_method": true, "a=b&_method=PUT": true, "a=b;_method=PUT": true, "_METHOD=PUT": true, "_Method=": true,
		"%5fmethod=PUT": true, "%5Fmetho%64=PUT": true, "_method[]=PUT": true, "_method%5B%5D=PUT": true, "+_method=PUT": true,
		".method=PUT": true, "%20_method=x": true, "_method%00x=PUT": true, "[method=PUT": true, "&&_method=PUT&": true, "_method%zz=x&_method=y": true,
	} {
		r := &http.Request{Method: "POST", URL: &url.URL{Path: "/", RawQuery: query}}
		if got := MethodInQuery(r); got != want {
			t.Errorf("%q: %t", query, got)
		}
	}
}

func TestMethodParametersInForms(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	part := func(disposition string) string {
		return "--b\r\nContent-Disposition: " + disposition + "\r\n\r\nDELETE\r\n--b--\r\n"
	}
	for _, c := range []struct {
		name, contentType, body string
		isForm, has             bool
	}{
		{"urlencoded", form, "a=b&_method=DELETE", true, true},
		{"urlencoded, encoded", form + "; charset=utf-8", "%5fmethod=DELETE", true, true},
		{"urlencoded, none", form, "a=_method", true, false},
		{"urlencoded, empty", form, "", true, false},
		{"in capitals", "Application/X-WWW-Form-Urlencoded", "_method=DELETE", true, true},
		{"no type", "", "_method=DELETE", true, true},
		{"no type, none", "", `{"a":1}`, true, false},
		{"malformed type", form + "; =", "a=b", true, true},
		{"a form type in another's parameter", `text/plain; x="` + form + `"`, "a=b", true, true},
		{"multipart", "multipart/form-data; boundary=b", part(`form-data; name="_method"`), true, true},
		{"multipart, other letter case", "multipart/form-data; boundary=b", part(`form-data; name="_METHOD"`), true, true},
		{"multipart, as a file", "multipart/form-data; boundary=b", part(`form-data; name=_method; filename=x`), true, true},
		{"multipart, none", "multipart/form-data; boundary=b", part(`form-data; name="a"`), true, false},
		{"multipart, an encoded name", "multipart/form-data; boundary=b", part(`form-data; name*=UTF-8''%5fmethod`), true, true},
		{"multipart, malformed disposition", "multipart/form-data; boundary=b", part(`form-data; name="a"; name="_method"`), true, true},
		{"multipart, no disposition", "multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--\r\n", true, true},
		{"multipart, no boundary", "multipart/form-data", part(`form-data; name="a"`), true, true},
		{"multipart, cut off", "multipart/form-data; boundary=b", part(`form-data; name="a"`)[:40], true, true},
		{"multipart, lines ended by LF", "multipart/form-data; boundary=b", "--b\nContent-Disposition: form-data; name=_method\n\nx\n--b--\n", true, true},
		{"JSON", "application/json", `{"_method":"DELETE"}`, false, false},
	} {
		r := &http.Request{Method: "POST", URL: &url.URL{Path: "/"}, Header: http.Header{}}
		if c.contentType != "" {
			r.Header.Set("Content-Type", c.contentType)
		}
		if got := IsForm(r); got != c.isForm {
			t.Errorf("%s: form is %t", c.name, got)
		}
		if c.isForm && MethodInForm(r, []byte(c.body)) != c.has {
			t.Errorf("%s: the parameter is there: %t, want %t", c.name, !c.has, c.has)
		}
	}
	r := &http.Request{Method: "POST", URL: &url.URL{Path: "/"}, Header: http.Header{"Content-Type": {form, "application/json"}}}
	if !IsForm(r) || !MethodInForm(r, []byte("a=b")) {
		t.Error("two Content-Types pass")
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Connection": {"x", "y,Content-Type"}}
	if !IsForm(r) || !MethodInForm(r, []byte("a=b")) {
		t.Error("a Content-Type that a proxy would drop passes")
	}
	r.Header = http.Header{"Content-Type": {form}, "Content-Encoding": {"gzip"}}
	if !MethodInForm(r, []byte(strings.Repeat("\x1f", 9))) {
		t.Error("an encoded form passes")
	}
}
