package route

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// toolsCall is the method by which MCP calls every tool; params.name says
// which.
const toolsCall = "tools/call"

// Headers in which newer MCP clients repeat what the body says, for proxies
// that route without reading it.
const (
	mcpMethod = "Mcp-Method"
	mcpName   = "Mcp-Name"
)

// mcpHeaders are their values; "" for none.
type mcpHeaders struct{ method, name string }

// mcpHeadersOf reads them in every spelling that an upstream could take for
// them; twice is refused, even if equal.
func mcpHeadersOf(h http.Header) (mcpHeaders, error) {
	var found mcpHeaders
	for name, values := range h {
		var dst *string
		header := ""
		switch {
		case sameHeader(name, mcpMethod):
			dst, header = &found.method, mcpMethod
		case sameHeader(name, mcpName):
			dst, header = &found.name, mcpName
		default:
			continue
		}
		if len(values) != 1 || values[0] == "" || *dst != "" {
			return found, unreadable("the header %s is empty, or there more than once", header)
		}
		*dst = values[0]
	}
	return found, nil
}

// says reports whether the header, if it is there, names the tool: as it is,
// or in the form for what a header can't carry.
func (h mcpHeaders) says(tool string) bool {
	if h.name == "" || h.name == tool {
		return true
	}
	encoded, found := strings.CutPrefix(h.name, "=?base64?")
	encoded, closed := strings.CutSuffix(encoded, "?=")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	return found && closed && err == nil && string(decoded) == tool
}

// classifyTool says what a call of a tool needs. params was read so that no
// name is there twice, in whatever letter case.
func (s *rpcSet) classifyTool(params jsonValue, headers mcpHeaders) (permission.Access, error) {
	if err := params.onlyExact("name"); err != nil {
		return permission.None, err
	}
	name := params.get("name")
	switch {
	case params.kind != '{' || name.kind != '"':
		return permission.None, unreadable("the params of %s have no name, or one that is not a string", toolsCall)
	case strings.Contains(name.text, "\x00"):
		return permission.None, unreadable("the name of the tool has a NUL in it")
	case !headers.says(name.text):
		return permission.None, unreadable("the header %s differs from the name of the tool", mcpName)
	case s.tools.has(name.text):
		return permission.Read, nil
	}
	return permission.Write, nil
}
