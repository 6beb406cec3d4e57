package route

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
)

// multipartOperations returns the operations field of a multipart GraphQL
// request (graphql-multipart-request-spec): the fields operations and map come
// first, in this order, then the files that map names.
//
// Multipart parsers differ in what they forgive, so nothing is forgiven: no
// preamble, no look-alike of a boundary, no second field of a name, no name
// that needs decoding.
func multipartOperations(body []byte, boundary string) ([]byte, error) {
	if boundary == "" {
		return nil, unreadable("the multipart body has no boundary")
	}
	delimiter := []byte("--" + boundary)
	if !bytes.HasPrefix(body, append(delimiter, "\r\n"...)) {
		return nil, unreadable("the multipart body does not begin with its boundary")
	}
	if !endsParts(body, boundary) {
		return nil, unreadable("the multipart body does not end with its boundary")
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	operations, err := nextField(reader, "operations")
	if err != nil {
		return nil, err
	}
	mapped, err := nextField(reader, "map")
	if err != nil {
		return nil, err
	}
	names, err := mappedFiles(mapped)
	if err != nil {
		return nil, err
	}
	files, err := checkFiles(reader, names)
	if err != nil {
		return nil, err
	}
	// Every occurrence of the delimiter must be one that was read: two fields,
	// the files, the end.
	if bytes.Count(body, delimiter) != 2+files+1 {
		return nil, unreadable("the multipart body has its boundary inside a part")
	}
	return operations, nil
}

// endsParts reports whether a multipart body ends with the closing boundary.
// The reader of package multipart reports io.EOF also where a part's header is
// cut off.
func endsParts(body []byte, boundary string) bool {
	return bytes.HasSuffix(bytes.TrimSuffix(body, []byte("\r\n")), []byte("\r\n--"+boundary+"--"))
}

// nextField reads a part that must be the plain field of the given name.
func nextField(reader *multipart.Reader, name string) ([]byte, error) {
	part, err := reader.NextRawPart()
	if err != nil {
		return nil, unreadable("the multipart body has no field %q where it is expected", name)
	}
	got, file, err := partName(part.Header)
	if err != nil {
		return nil, err
	}
	if got != name || file {
		return nil, unreadable("the multipart body has another part where the field %q is expected", name)
	}
	text, err := io.ReadAll(part)
	if err != nil {
		return nil, unreadable("the multipart body ends inside a part")
	}
	return text, nil
}

// mappedFiles returns the names of the files that the map field announces.
func mappedFiles(text []byte) ([]string, error) {
	v, err := parseJSON(text, 3, allLevels) // files, their places, a place
	if err != nil {
		return nil, unreadable("the field map: %v", err)
	}
	if v.kind != '{' {
		return nil, unreadable("the field map is not a JSON object")
	}
	names := make([]string, 0, len(v.fields))
	for _, f := range v.fields {
		if f.value.kind != '[' {
			return nil, unreadable("the field map has something else than a list for a file")
		}
		for _, place := range f.value.items {
			if !isVariable(place.text) {
				return nil, unreadable("the field map puts a file in another place than a variable")
			}
		}
		names = append(names, f.name)
	}
	return names, nil
}

// isVariable reports whether a place in the operations is one of a variable:
// variables.file, or 0.variables.file in a batch.
func isVariable(place string) bool {
	if first, rest, ok := strings.Cut(place, "."); ok && first != "" && strings.Trim(first, "0123456789") == "" {
		place = rest
	}
	return strings.HasPrefix(place, "variables.")
}

// checkFiles reads the rest of the parts: each must be one of the announced
// files, once. It returns how many there are.
func checkFiles(reader *multipart.Reader, names []string) (int, error) {
	files := 0
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return 0, unreadable("the multipart body is malformed")
		}
		name, _, err := partName(part.Header)
		if err != nil {
			return 0, err
		}
		i := slices.Index(names, name)
		if i < 0 || isMethodParameter(name) {
			return 0, unreadable("the multipart body has the part %q, which the field map does not announce, or twice", clip(name))
		}
		names = slices.Delete(names, i, i+1)
		if _, err := io.Copy(io.Discard, part); err != nil {
			return 0, unreadable("the multipart body ends inside a part")
		}
		files++
	}
}

// partName returns the name of a part, and whether it is a file.
func partName(header textproto.MIMEHeader) (name string, file bool, err error) {
	dispositions := header["Content-Disposition"]
	if len(dispositions) != 1 || len(header["Content-Type"]) > 1 {
		return "", false, unreadable("the multipart body has a part without one Content-Disposition")
	}
	for _, encoding := range header["Content-Transfer-Encoding"] {
		if e := strings.ToLower(encoding); e != "7bit" && e != "8bit" && e != "binary" {
			return "", false, unreadable("the multipart body has an encoded part")
		}
	}
	kind, params, err := mime.ParseMediaType(dispositions[0])
	if err != nil || kind != "form-data" || strings.Contains(strings.ToLower(dispositions[0]), "name*") && params["filename"] == "" {
		return "", false, unreadable("the multipart body has a part with a malformed Content-Disposition")
	}
	name = params["name"]
	if !plainName(name) {
		return "", false, unreadable("the multipart body has a part with a name that is not made of letters, digits, dots, _ and -")
	}
	_, file = params["filename"]
	return name, file, checkPartType(header["Content-Type"])
}

// checkPartType refuses a part in another charset.
func checkPartType(types []string) error {
	for _, t := range types {
		_, params, err := mime.ParseMediaType(t)
		if charset := params["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
			return unreadable("the multipart body has a part with a malformed Content-Type or another charset than UTF-8")
		}
	}
	return nil
}

func plainName(name string) bool {
	for i := range len(name) {
		c := lowerASCII(name[i])
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return name != ""
}
