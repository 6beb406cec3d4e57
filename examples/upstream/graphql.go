package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	graphql "github.com/graph-gophers/graphql-go"
)

const schemaText = `
type Query {
	users: [User!]!
	user(id: ID!): User
}

type Mutation {
	addUser(name: String!): User!
}

type User {
	id: ID!
	name: String!
}
`

// resolver answers the schema's fields from the same store as the REST routes.
type resolver struct{ store *store }

type userResolver struct{ user user }

func (u *userResolver) ID() graphql.ID { return graphql.ID(u.user.ID) }

// Name is the schema's field of that name.
func (u *userResolver) Name() string { return u.user.Name }

// Users answers the query of that name.
func (r *resolver) Users() []*userResolver {
	var all []*userResolver
	for _, u := range r.store.listUsers() {
		all = append(all, &userResolver{u})
	}
	return all
}

// User answers null for an id that is not there, as GraphQL APIs do.
func (r *resolver) User(args struct{ ID graphql.ID }) *userResolver {
	u, err := r.store.user(string(args.ID))
	if err != nil {
		return nil
	}
	return &userResolver{u}
}

// AddUser is the mutation.
func (r *resolver) AddUser(args struct{ Name string }) (*userResolver, error) {
	u, err := r.store.addUser(args.Name)
	if err != nil {
		return nil, err
	}
	return &userResolver{u}, nil
}

type graphqlRequest struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
}

// newGraphQL returns the GraphQL route, for GET with ?query= and POST with JSON.
func newGraphQL(s *store) (http.Handler, error) {
	schema, err := graphql.ParseSchema(schemaText, &resolver{s})
	if err != nil {
		return nil, fmt.Errorf("reading the GraphQL schema: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, ok := readGraphQL(w, r)
		if ok {
			answer(w, http.StatusOK, schema.Exec(r.Context(), in.Query, in.OperationName, in.Variables))
		}
	}), nil
}

func readGraphQL(w http.ResponseWriter, r *http.Request) (graphqlRequest, bool) {
	var in graphqlRequest
	switch r.Method {
	case http.MethodPost:
		return in, read(w, r, &in)
	case http.MethodGet:
		query := r.URL.Query()
		in.Query, in.OperationName = query.Get("query"), query.Get("operationName")
		if text := query.Get("variables"); text != "" {
			if err := json.Unmarshal([]byte(text), &in.Variables); err != nil {
				refuse(w, http.StatusBadRequest, "variables is not a JSON object")
				return in, false
			}
		}
		return in, true
	}
	w.Header().Set("Allow", "GET, POST")
	refuse(w, http.StatusMethodNotAllowed, "GraphQL is asked by GET or POST")
	return in, false
}
