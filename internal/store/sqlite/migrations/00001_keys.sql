-- +goose Up

-- One row. Its update is the first statement of every change, so that
-- changes are numbered in the order in which they commit.
CREATE TABLE counters (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO counters (one, seq) VALUES (1, 0);

-- n numbers keys in the order of their creation, and is never used again.
-- Times are Unix milliseconds. standing: 0 enabled, 1 enabled and noted to
-- have expired (a hint), 2 disabled.
CREATE TABLE keys (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    owner        TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    permissions  TEXT    NOT NULL,
    admin        TEXT    NOT NULL,
    standing     INTEGER NOT NULL CHECK (standing IN (0, 1, 2)),
    legacy       INTEGER NOT NULL,
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    last_used_at INTEGER,
    version      INTEGER NOT NULL,
    search       TEXT    NOT NULL,
    metadata     TEXT    NOT NULL
) STRICT;
CREATE INDEX keys_owner ON keys (owner, n);
CREATE INDEX keys_standing ON keys (standing, n, expires_at);
CREATE INDEX keys_expiry ON keys (standing, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX keys_admin ON keys (n) WHERE admin = 'write';

-- The SHA-256 of each secret. ends_at: the end of its grace, NULL for a
-- key's current secret.
CREATE TABLE secrets (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    key_n      INTEGER NOT NULL REFERENCES keys (n) ON DELETE CASCADE,
    prefix     TEXT    NOT NULL,
    is_foreign INTEGER NOT NULL,
    ends_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_key ON secrets (key_n);
CREATE INDEX secrets_ending ON secrets (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX secrets_foreign ON secrets (is_foreign) WHERE is_foreign = 1;

-- The APIs to which a key has any access; '*' for all.
CREATE TABLE key_apis (
    n   INTEGER NOT NULL REFERENCES keys (n) ON DELETE CASCADE,
    api TEXT    NOT NULL,
    PRIMARY KEY (n, api)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_apis_api ON key_apis (api, n);

-- The grams of keys.search (rowid is keys.n). It answers which keys may
-- contain a text; what they do contain is in keys.search.
CREATE VIRTUAL TABLE key_grams USING fts5 (grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');

CREATE TABLE audit (
    n      INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    key_id TEXT    NOT NULL,
    ip     TEXT    NOT NULL,
    before TEXT,
    after  TEXT
) STRICT;
CREATE INDEX audit_key ON audit (key_id, n);
CREATE INDEX audit_actor ON audit (actor, n);

-- What caches must forget; the oldest rows are pruned. digests is the
-- concatenation of 32-byte digests.
CREATE TABLE changes (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    is_foreign INTEGER NOT NULL,
    digests    BLOB    NOT NULL
) STRICT;

CREATE TABLE endpoints (
    api   TEXT NOT NULL,
    id    TEXT NOT NULL,
    title TEXT NOT NULL,
    PRIMARY KEY (api, id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE endpoints;
DROP TABLE changes;
DROP TABLE audit;
DROP TABLE key_grams;
DROP TABLE key_apis;
DROP TABLE secrets;
DROP TABLE keys;
DROP TABLE counters;
