-- +goose Up

-- The running gateways, as they last told of themselves. started_at is by
-- their own clock, seen_at by the database's. lease_ms and keeps_ms: how long
-- after seen_at a node counts as live, and for how long after that it may
-- still answer from memory. apis: what its configuration declares, as JSON.
CREATE TABLE nodes (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    lease_ms   INTEGER NOT NULL,
    keeps_ms   INTEGER NOT NULL,
    applied    INTEGER NOT NULL,
    skew_ms    INTEGER NOT NULL,
    apis       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE nodes;
