package keys

// The events of keys that operators can hear of. EventRefused is of a request,
// and no change: the audit has none of it.
const (
	EventCreated = "api_key_created"
	EventUpdated = "api_key_updated"
	EventDeleted = "api_key_deleted"
	EventLeaked  = "api_key_leaked"
	EventRefused = "api_key_refused"
)

// ChangeEvents are the events that the audit has entries of.
var ChangeEvents = []string{EventCreated, EventUpdated, EventDeleted, EventLeaked}

// KeyActions are the audit's actions that are of a key.
var KeyActions = []string{"create", "import", "bootstrap", "update", "enable", "disable", "rotate", "delete", "leak"}

// EventOf returns the event of an action of the audit; "" for one that is not
// of a key.
func EventOf(action string) string {
	switch action {
	case "create", "import", "bootstrap":
		return EventCreated
	case "update", "enable", "disable", "rotate":
		return EventUpdated
	case "delete":
		return EventDeleted
	case "leak":
		return EventLeaked
	}
	return ""
}
