package main

import (
	"encoding/json"
	"errors"
	"net/http"
)

// routeREST adds users, orders and a search, which reads although it is a POST.
func routeREST(mux *http.ServeMux, s *store) {
	mux.HandleFunc("GET /rest/users", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, s.listUsers())
	})
	mux.HandleFunc("POST /rest/users", func(w http.ResponseWriter, r *http.Request) {
		var in user
		if !read(w, r, &in) {
			return
		}
		made, err := s.addUser(in.Name)
		answerOr(w, http.StatusCreated, made, err)
	})
	mux.HandleFunc("GET /rest/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		found, err := s.user(r.PathValue("id"))
		answerOr(w, http.StatusOK, found, err)
	})
	mux.HandleFunc("DELETE /rest/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		err := s.deleteUser(r.PathValue("id"))
		answerOr(w, http.StatusOK, map[string]string{"deleted": r.PathValue("id")}, err)
	})
	mux.HandleFunc("GET /rest/orders", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, s.listOrders())
	})
	mux.HandleFunc("POST /rest/orders", func(w http.ResponseWriter, r *http.Request) {
		var in order
		if !read(w, r, &in) {
			return
		}
		made, err := s.addOrder(in.User, in.Item)
		answerOr(w, http.StatusCreated, made, err)
	})
	mux.HandleFunc("POST /rest/search", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Text string `json:"text"`
		}
		if !read(w, r, &in) {
			return
		}
		answer(w, http.StatusOK, s.search(in.Text))
	})
}

// read fills into from the request's JSON, or refuses the request.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB")
	case err != nil:
		refuse(w, http.StatusBadRequest, "the body is not the JSON that was expected")
	}
	return err == nil
}

// answerOr writes value, or what err says.
func answerOr(w http.ResponseWriter, status int, value any, err error) {
	switch {
	case errors.Is(err, errNotFound):
		refuse(w, http.StatusNotFound, err.Error())
	case errors.Is(err, errFull):
		refuse(w, http.StatusInsufficientStorage, err.Error())
	case err != nil:
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	default:
		answer(w, status, value)
	}
}
