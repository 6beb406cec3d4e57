package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// job is a call of a function, done the moment it is asked for.
type job struct {
	ID       string          `json:"id"`
	Endpoint string          `json:"endpoint"`
	Status   string          `json:"status"`
	Output   json.RawMessage `json:"output,omitempty"`
}

// queue keeps the jobs of all endpoints.
type queue struct {
	mu   sync.Mutex
	jobs map[string]job
	last int
}

func newQueue() *queue { return &queue{jobs: map[string]job{}} }

// routeServerless adds functions that are called by endpoint. Any endpoint
// exists, and its function returns its input.
func routeServerless(mux *http.ServeMux, q *queue) {
	mux.HandleFunc("POST /v2/{endpoint}/run", q.run)
	mux.HandleFunc("GET /v2/{endpoint}/status/{id}", q.status)
	mux.HandleFunc("POST /v2/{endpoint}/status/{id}", q.status)
	mux.HandleFunc("GET /v2/{endpoint}/purge", q.purge)
}

func (q *queue) run(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Input json.RawMessage `json:"input"`
	}
	if !read(w, r, &in) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) >= maxKept {
		refuse(w, http.StatusInsufficientStorage, errFull.Error())
		return
	}
	q.last++
	made := job{ID: "job-" + strconv.Itoa(q.last), Endpoint: r.PathValue("endpoint"), Status: "COMPLETED", Output: in.Input}
	q.jobs[made.ID] = made
	answer(w, http.StatusOK, job{ID: made.ID, Endpoint: made.Endpoint, Status: "IN_QUEUE"})
}

func (q *queue) status(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	found, ok := q.jobs[r.PathValue("id")]
	q.mu.Unlock()
	if !ok || found.Endpoint != r.PathValue("endpoint") {
		refuse(w, http.StatusNotFound, errNotFound.Error())
		return
	}
	answer(w, http.StatusOK, found)
}

// purge forgets the jobs of an endpoint. It is a GET that writes: what an API
// that exists already may well have.
func (q *queue) purge(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	removed := 0
	for id, j := range q.jobs {
		if j.Endpoint == r.PathValue("endpoint") {
			delete(q.jobs, id)
			removed++
		}
	}
	answer(w, http.StatusOK, map[string]int{"removed": removed})
}
