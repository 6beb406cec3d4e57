package route

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// rpcNames are the names of JSON-RPC 2.0.
var rpcNames = []string{"jsonrpc", "method", "params", "id", "result", "error"}

// nameSet is the methods that read: names, and the beginnings of names.
type nameSet struct {
	names    map[string]bool
	prefixes []string
}

// newNameSet reads names of which a trailing * stands for anything.
func newNameSet(list []string) (nameSet, error) {
	set := nameSet{names: make(map[string]bool, len(list))}
	var errs []error
	for _, name := range list {
		prefix, open := strings.CutSuffix(name, "*")
		switch {
		case name == "":
			errs = append(errs, errors.New("a method's name is empty"))
		case strings.Contains(prefix, "*"):
			errs = append(errs, fmt.Errorf("method %q: * is possible only at its end", name))
		case strings.Contains(name, "\x00"):
			errs = append(errs, fmt.Errorf("method %q has a NUL in it", name))
		case open:
			set.prefixes = append(set.prefixes, prefix)
		default:
			set.names[name] = true
		}
	}
	return set, errors.Join(errs...)
}

func (s *nameSet) has(name string) bool {
	if s.names[name] {
		return true
	}
	for _, prefix := range s.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// rpcSet is the methods of JSON-RPC that read, and the tools of MCP that do.
type rpcSet struct {
	nameSet
	tools      nameSet
	namesTools bool
}

// newRPCSet reads names of methods, and of tools as tools/call:NAME.
func newRPCSet(list []string) (rpcSet, error) {
	var methods, tools []string
	for _, name := range list {
		if tool, found := strings.CutPrefix(name, toolsCall+":"); found {
			tools = append(tools, tool)
		} else {
			methods = append(methods, name)
		}
	}
	set := rpcSet{namesTools: len(tools) > 0}
	var fault, toolFault error
	set.nameSet, fault = newNameSet(methods)
	if set.tools, toolFault = newNameSet(tools); toolFault != nil {
		toolFault = fmt.Errorf("after %s:, %w", toolsCall, toolFault)
	}
	return set, errors.Join(fault, toolFault)
}

// classify says what a JSON-RPC request needs, s being the methods that read.
func (s *rpcSet) classify(r *http.Request, body []byte) (permission.Access, error) {
	switch r.Method {
	case http.MethodGet:
		return classifyRPCGet(r)
	case http.MethodPost:
		return s.classifyPost(r, body)
	}
	return permission.Write, nil
}

// classifyRPCGet: a GET reads if it is how MCP clients listen (Streamable
// HTTP: it asks for an event stream), and writes if a server could take it
// for a call.
func classifyRPCGet(r *http.Request) (permission.Access, error) {
	params, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		return permission.None, err
	}
	if params.any("method") == "" && acceptsEventStream(r.Header["Accept"]) {
		return permission.Read, nil
	}
	return permission.Write, nil
}

// acceptsEventStream reports whether an Accept header names text/event-stream.
// A wildcard does not: every client sends one.
func acceptsEventStream(accept []string) bool {
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), "text/event-stream") && !refusedByWeight(params) {
				return true
			}
		}
	}
	return false
}

// refusedByWeight reports whether a media range has q=0: "not this one".
func refusedByWeight(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, weight, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			return strings.Trim(strings.TrimSpace(weight), "0.") == ""
		}
	}
	return false
}

func (s *rpcSet) classifyPost(r *http.Request, body []byte) (permission.Access, error) {
	if err := checkPostURL(r, []string{"method"}); err != nil {
		return permission.None, err
	}
	mediaType, _, err := contentType(r)
	if err != nil {
		return permission.None, err
	}
	if mediaType != "application/json" && mediaType != "application/json-rpc" {
		return permission.None, unreadable("the Content-Type %q is not understood as JSON-RPC: expected application/json", clip(mediaType))
	}
	headers, err := mcpHeadersOf(r.Header)
	if err != nil {
		return permission.None, err
	}
	v, err := parseJSON(body, 4, s.levels) // batch, call, params, name
	if err != nil {
		return permission.None, err
	}
	return highest(&v, func(call *jsonValue) (permission.Access, error) { return s.classifyCall(call, headers) })
}

// levels keeps of a call what its members are, and of params the text in it
// where a tool's name decides.
func (s *rpcSet) levels(name string, atMost int) int {
	if name == "params" && s.namesTools {
		return min(atMost, 2)
	}
	return min(atMost, 1)
}

// classifyCall classifies one call. What has no method is the answer to a
// call of the server's (MCP); it is not a method that reads, so it writes.
func (s *rpcSet) classifyCall(call *jsonValue, headers mcpHeaders) (permission.Access, error) {
	if err := call.onlyExact(rpcNames...); err != nil {
		return permission.None, err
	}
	method := call.get("method")
	switch {
	case method.kind == 0 && (call.get("result").kind != 0) != (call.get("error").kind != 0):
		return permission.Write, nil
	case method.kind != '"':
		return permission.None, unreadable("the call has no method, or one that is not a string")
	case strings.Contains(method.text, "\x00"):
		return permission.None, unreadable("the method has a NUL in its name")
	case headers.method != "" && headers.method != method.text:
		return permission.None, unreadable("the header %s differs from the method of the call", mcpMethod)
	case s.has(method.text):
		return permission.Read, nil
	case s.namesTools && method.text == toolsCall:
		return s.classifyTool(call.get("params"), headers)
	}
	return permission.Write, nil
}
