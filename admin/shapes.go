package admin

import "github.com/danielgtaylor/huma/v2"

// The parts of schemas that struct tags can't say. huma calls these methods
// when it makes a schema of the type.

// noControl is the pattern of text that people read on one line.
const (
	noControl     = `^[^\x00-\x1f\x7f-\x9f]*$`
	noControlWord = "no control characters"
)

// nameOf returns the schema of the names of a map's members.
func nameOf(least, most int, pattern, description string) map[string]any {
	return map[string]any{propertyNames: &huma.Schema{
		Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: pattern, PatternDescription: description,
	}}
}

// TransformSchema bounds the metadata.
func (CreateRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	most := maxMetadata
	s.Properties["metadata"].MaxProperties = &most
	boundMetadata(s.Properties["metadata"])
	return s
}

// TransformSchema bounds the metadata. How many pairs there are is judged
// after the merge.
func (Patch) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	metadata := s.Properties["metadata"]
	metadata.Nullable = true
	boundMetadata(metadata)
	return s
}

// boundMetadata bounds names and values. NUL is refused because not every
// store can keep it.
func boundMetadata(metadata *huma.Schema) {
	metadata.Extensions = nameOf(1, maxMetadataKey, noControl, noControlWord)
	value, most := metadata.AdditionalProperties.(*huma.Schema), maxMetadataValue
	value.MaxLength = &most
	value.Pattern, value.PatternDescription = `^[^\x00]*$`, "no NUL character"
}

// TransformSchema says what names of APIs look like.
func (Permissions) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["apis"].Extensions = nameOf(1, 63, `^[a-z][a-z0-9-]*$`, "the name of an API: a-z, 0-9 and -, the first a letter")
	return s
}

// TransformSchema says what ids of endpoints look like, and that an endpoint
// has no access "restricted".
func (APIPermissions) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	endpoints := s.Properties["endpoints"]
	endpoints.Extensions = nameOf(1, maxEndpointID, `^[^/\x00-\x1f\x7f-\x9f]*$`, "the id of an endpoint: no slash, no control characters")
	endpoints.AdditionalProperties.(*huma.Schema).Enum = []any{"none", "read", "write"}
	return s
}

// Schema says that an expiry is a time or null.
func (Expiry) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Format: "date-time", Nullable: true,
		Description: "RFC 3339, in the future, kept to the millisecond; null for never.",
		Examples:    []any{"2030-01-31T12:00:00Z"},
	}
}

// TransformSchema says that there may be no rotation.
func (Key) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	return orNoRotation(r, s)
}

// TransformSchema says that there may be no rotation.
func (Whoami) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	return orNoRotation(r, s)
}

// orNoRotation puts a copy of the rotation's schema in place of the reference
// to it: OpenAPI 3.1 has no reference that may be null.
func orNoRotation(r huma.Registry, s *huma.Schema) *huma.Schema {
	rotation := *r.SchemaFromRef(s.Properties["rotation"].Ref)
	rotation.Nullable = true
	rotation.Description = "The earlier secret, while it is in its grace; else null."
	s.Properties["rotation"] = &rotation
	return s
}

// TransformSchema says that before and after are objects or null.
func (AuditEntry) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, name := range []string{"before", "after"} {
		description := s.Properties[name].Description
		s.Properties[name] = &huma.Schema{
			Type: huma.TypeObject, Nullable: true, AdditionalProperties: &huma.Schema{}, Description: description,
		}
	}
	return s
}
