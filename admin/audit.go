package admin

import (
	"encoding/json"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// listAudit is GET /v1/audit.
func (a *api) listAudit(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	entries, next, err := a.Store.Audit(c.ctx, keys.AuditQuery{
		Key: keys.ID(c.query["key"]), Actor: keys.ID(c.query["actor"]),
		Limit: c.query.limit(), Cursor: c.query["cursor"],
	})
	if err != nil {
		return nil, c.cursorFault(err)
	}
	list := AuditList{Data: make([]AuditEntry, len(entries)), NextCursor: orNull(next)}
	for i, e := range entries {
		list.Data[i] = AuditEntry{
			ID: e.ID, At: e.At.UTC(), Actor: string(e.Actor), Action: e.Action,
			Key: orNull(string(e.Key)), IP: orNull(e.IP), Before: rawOrNull(e.Before), After: rawOrNull(e.After),
		}
	}
	return list, nil
}

func rawOrNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}
