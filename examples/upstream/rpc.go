package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// rpc answers JSON-RPC 2.0 over HTTP, single calls and batches.
type rpc struct{ store *store }

type rpcCall struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type rpcAnswer struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// The error codes of the JSON-RPC specification, section 5.1.
const (
	rpcParseError     = -32700
	rpcInvalidRequest = -32600
	rpcNoMethod       = -32601
	rpcInvalidParams  = -32602
	rpcServerError    = -32000
)

func (a *rpc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "the body could not be read")
		return
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		a.batch(w, body)
		return
	}
	var call rpcCall
	if err := json.Unmarshal(body, &call); err != nil {
		answer(w, http.StatusOK, failed(nil, rpcParseError, "the body is not a JSON-RPC call"))
		return
	}
	result := a.call(call)
	if call.ID == nil {
		w.WriteHeader(http.StatusAccepted) // a notification: nothing is answered
		return
	}
	answer(w, http.StatusOK, result)
}

func (a *rpc) batch(w http.ResponseWriter, body []byte) {
	var calls []rpcCall
	if err := json.Unmarshal(body, &calls); err != nil {
		answer(w, http.StatusOK, failed(nil, rpcParseError, "the body is not a JSON-RPC batch"))
		return
	}
	answers := []rpcAnswer{}
	for _, call := range calls {
		if result := a.call(call); call.ID != nil {
			answers = append(answers, result)
		}
	}
	answer(w, http.StatusOK, answers)
}

func (a *rpc) call(c rpcCall) rpcAnswer {
	if c.Version != "2.0" {
		return failed(c.ID, rpcInvalidRequest, `jsonrpc is not "2.0"`)
	}
	switch c.Method {
	case "orders.list":
		return rpcAnswer{Version: "2.0", ID: c.ID, Result: a.store.listOrders()}
	case "tools/list":
		tools := []map[string]string{
			{"name": "search_orders", "description": "lists orders"},
			{"name": "add_order", "description": "adds an order"},
		}
		return rpcAnswer{Version: "2.0", ID: c.ID, Result: map[string]any{"tools": tools}}
	case "tools/call":
		return a.callTool(c)
	case "orders.add":
		return a.addOrder(c)
	}
	return failed(c.ID, rpcNoMethod, "there is no such method")
}

// callTool calls a tool of MCP by its name.
func (a *rpc) callTool(c rpcCall) rpcAnswer {
	var tool struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(c.Params, &tool); err != nil {
		return failed(c.ID, rpcInvalidParams, "params is not what was expected")
	}
	switch tool.Name {
	case "search_orders":
		return rpcAnswer{Version: "2.0", ID: c.ID, Result: a.store.listOrders()}
	case "add_order":
		return a.addOrder(c)
	}
	return failed(c.ID, rpcInvalidParams, "there is no such tool")
}

// addOrder takes {"user", "item"}, also as the arguments of an MCP tool call.
func (a *rpc) addOrder(c rpcCall) rpcAnswer {
	var in struct {
		order

		Name      string `json:"name"`
		Arguments *order `json:"arguments"`
	}
	if err := json.Unmarshal(c.Params, &in); err != nil {
		return failed(c.ID, rpcInvalidParams, "params is not what was expected")
	}
	if in.Arguments != nil {
		in.order = *in.Arguments
	}
	made, err := a.store.addOrder(in.User, in.Item)
	switch {
	case errors.Is(err, errFull):
		return failed(c.ID, rpcServerError, err.Error())
	case err != nil:
		return failed(c.ID, rpcInvalidParams, err.Error())
	}
	return rpcAnswer{Version: "2.0", ID: c.ID, Result: made}
}

func failed(id json.RawMessage, code int, message string) rpcAnswer {
	return rpcAnswer{Version: "2.0", ID: id, Error: &rpcError{code, message}}
}
