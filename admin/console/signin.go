package console

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// signIn is the page that asks for an admin key. It never holds one.
type signIn struct {
	Fault string
	Next  string // where to go then
	Ended bool   // a session has ended
}

// serveDoor serves signing in and out, the only requests without a session.
func (v *visit) serveDoor(path string) {
	switch {
	case path == "/signout" && v.r.Method == http.MethodPost:
		v.Sessions.Close(v.w, v.r, v.site())
		v.see("signin")
	case path == "/signout":
		v.see("./")
	case v.r.Method == http.MethodPost:
		v.signIn()
	default:
		next := safeNext(v.r.URL.Query().Get("next"))
		v.page(http.StatusOK, "signin", signIn{Next: next, Ended: v.r.URL.Query().Has("ended")})
	}
}

// maxSignIn bounds the form: a key and a short address.
const maxSignIn = 16 << 10

func (v *visit) signIn() {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxSignIn)
	if err := v.r.ParseForm(); err != nil {
		v.page(http.StatusBadRequest, "signin", signIn{Fault: "The form could not be read."})
		return
	}
	next := safeNext(v.r.PostForm.Get("next"))
	address := v.ClientIP(v.r)
	if wait := v.Sessions.Wait(address, v.now); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		v.w.Header().Set("Retry-After", strconv.Itoa(seconds))
		v.page(http.StatusTooManyRequests, "signin", signIn{
			Next: next, Fault: fmt.Sprintf("Too many wrong keys from your address. Try again in %s.", count(seconds, "second")),
		})
		return
	}
	secret := strings.TrimSpace(v.r.PostForm.Get("key"))
	if status, fault := v.judge(secret); fault != "" {
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			v.Sessions.Wrong(address, v.now)
		}
		v.page(status, "signin", signIn{Next: next, Fault: fault})
		return
	}
	if err := v.Sessions.Open(v.w, v.r, secret, v.site(), v.now); err != nil {
		v.fail(err)
		return
	}
	v.see("./" + next)
}

// judge asks the API who presents the secret, as any program would, and says
// what is wrong with it.
func (v *visit) judge(secret string) (status int, fault string) {
	client, err := admin.InProcess(v.API, v.r, secret)
	if err != nil || secret == "" {
		return http.StatusUnauthorized, "This is not a key of this gateway."
	}
	_, _, err = client.Whoami(v.r.Context())
	var problem *admin.Problem
	switch {
	case err == nil:
		return 0, ""
	case !errors.As(err, &problem):
		return http.StatusInternalServerError, err.Error()
	case problem.Code == "disabled_key":
		fault = "This key is disabled."
	case problem.Code == "expired_key":
		fault = "This key has expired."
	case problem.Code == "insufficient_access":
		fault = "This key is no admin key: it opens your APIs, not this console."
	case problem.Status == http.StatusUnauthorized:
		fault = "This is not a key of this gateway."
	default:
		fault = sentence(problem.Detail)
	}
	return problem.Status, fault
}

// see sends the browser to another page of the console, by a relative
// address: we may stand under a prefix.
func (v *visit) see(page string) {
	v.w.Header().Set("Location", page)
	v.w.WriteHeader(http.StatusSeeOther)
}

// safeNext returns where to go after signing in, if that is a page of ours:
// one segment and a query, so that nobody is sent to another site.
func safeNext(next string) string {
	page, query, _ := strings.Cut(next, "?")
	if page != "" && page != "audit" && page != "key" && page != "apis" && page != "try" {
		return ""
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(next) > 1000 {
		return ""
	}
	return link(page, values)
}

// link returns a relative address.
func link(page string, values url.Values) string {
	for name := range values {
		if values.Get(name) == "" {
			delete(values, name)
		}
	}
	if len(values) == 0 {
		return page
	}
	return page + "?" + values.Encode()
}

// fault is a page or a notice that says what went wrong.
type fault struct {
	Title, Detail string
	Retry         string // address to try again at; "": none
}

// fail answers with an error: the one place where the console does.
func (v *visit) fail(err error) {
	var problem *admin.Problem
	if !errors.As(err, &problem) {
		v.Logger.ErrorContext(v.r.Context(), "the console failed", "path", v.r.URL.Path, "error", err)
		problem = &admin.Problem{Status: http.StatusInternalServerError, Title: "Something went wrong", Detail: "The gateway's log says more."}
	}
	if problem.Status == http.StatusUnauthorized || problem.Status == http.StatusForbidden && v.me.ID == "" {
		v.askToSignIn()
		return
	}
	status := problem.Status
	if status < http.StatusBadRequest {
		status = http.StatusInternalServerError
	}
	told := fault{Title: problem.Title, Detail: sentence(problem.Error())}
	if v.partial() {
		target, swap, name := v.placeOfFault(status)
		v.w.Header().Set("HX-Retarget", target)
		v.w.Header().Set("HX-Reswap", swap)
		v.fragment(status, name, told)
		return
	}
	if v.r.Method == http.MethodGet {
		told.Retry = link("./"+strings.TrimPrefix(v.r.URL.Path, "/"), v.r.URL.Query())
	}
	v.page(status, "error", told)
}

// placeOfFault returns where a page's script shows what went wrong.
func (v *visit) placeOfFault(status int) (target, swap, name string) {
	switch path := v.r.URL.Path; {
	case path == "/" || path == "/audit" || path == "/try":
		return "#notice", "innerHTML", "fault-notice"
	case v.r.Method == http.MethodPost && status >= http.StatusInternalServerError:
		// It may work a moment later: what was entered stays.
		return "#dialog form", "afterbegin", "fault-notice"
	}
	return "#dialog", "innerHTML", "fault-dialog"
}

// askToSignIn sends a visitor without a session, or whose admin key works no
// more, to the door.
func (v *visit) askToSignIn() {
	values := url.Values{}
	if _, err := v.r.Cookie(admin.SessionCookie); err == nil {
		values.Set("ended", "1")
		v.Sessions.Close(v.w, v.r, v.site())
	}
	if v.r.Method == http.MethodGet && !v.partial() {
		values.Set("next", safeNext(link(strings.TrimPrefix(v.r.URL.Path, "/"), v.r.URL.Query())))
	}
	door := link("signin", values)
	if v.partial() {
		v.w.Header().Set("HX-Redirect", door)
		v.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v.see(door)
}
