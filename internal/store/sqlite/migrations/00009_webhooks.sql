-- +goose Up

-- Which endpoints are told of changes, and the number in the audit up to which
-- deliveries were made for each.
CREATE TABLE webhooks (
    id    TEXT    NOT NULL PRIMARY KEY,
    place INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- That an endpoint is to be told of an entry of the audit, and what became of
-- it. state: 0 pending, 1 delivered, 2 failed. While leased_until is to come
-- some gateway is sending it; next_at is when another one may.
CREATE TABLE webhook_deliveries (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    webhook      TEXT    NOT NULL,
    audit_n      INTEGER NOT NULL,
    event        TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    state        INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    attempts     INTEGER NOT NULL,
    next_at      INTEGER NOT NULL,
    leased_until INTEGER NOT NULL,
    last_at      INTEGER,
    last_status  INTEGER NOT NULL,
    last_error   TEXT    NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at, n) WHERE state = 0;
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (state, n);
CREATE INDEX webhook_deliveries_audit ON webhook_deliveries (audit_n);

-- +goose Down
DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
