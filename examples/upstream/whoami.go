package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// caller is what the API knows of who called: what the gateway said. It never
// holds a credential's value, only the names of headers that carried one.
type caller struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Identity holds the X-Auth-* headers of the request.
	Identity map[string]string `json:"identity"`
	// Credentials names the places where a credential arrived. Behind
	// Keywarden it is empty, unless forward_credential is set.
	Credentials []string `json:"credentials"`
}

func whoami(w http.ResponseWriter, r *http.Request) {
	c := caller{Method: r.Method, Path: r.URL.Path, Identity: map[string]string{}, Credentials: []string{}}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Auth-") {
			c.Identity[name] = r.Header.Get(name)
		}
	}
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		if r.Header.Get(name) != "" {
			c.Credentials = append(c.Credentials, name)
		}
	}
	for name := range r.URL.Query() {
		if strings.Contains(strings.ToLower(name), "key") {
			c.Credentials = append(c.Credentials, "query "+name)
		}
	}
	slices.Sort(c.Credentials)
	answer(w, http.StatusOK, c)
}

// answer writes value as JSON. What can't be written is a client that left.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// refuse writes an error of the example API.
func refuse(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}
