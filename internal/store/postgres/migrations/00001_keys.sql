-- +goose Up

-- One row. Its update is the first statement of every change, so that
-- changes wait for each other and are numbered in the order in which they
-- commit. keys is the number of the newest key.
CREATE TABLE counters (
    one  BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    seq  BIGINT NOT NULL,
    keys BIGINT NOT NULL
);
INSERT INTO counters (one, seq, keys) VALUES (1, 0, 0);

-- n numbers keys in the order of their creation, and is never used again.
-- Times are Unix milliseconds. standing: 0 enabled, 1 enabled and noted to
-- have expired (a hint), 2 disabled. Text that is compared is so byte by byte,
-- whatever the database's language. JSON is TEXT, since JSONB refuses \u0000.
-- Pages have room, so that noting a key's last use touches no index.
CREATE TABLE keys (
    n            BIGINT NOT NULL PRIMARY KEY,
    id           TEXT   COLLATE "C" NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    owner        TEXT   COLLATE "C" NOT NULL,
    prefix       TEXT   NOT NULL,
    permissions  TEXT   NOT NULL,
    admin        TEXT   NOT NULL,
    standing     BIGINT NOT NULL CHECK (standing IN (0, 1, 2)),
    legacy       BIGINT NOT NULL,
    expires_at   BIGINT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    last_used_at BIGINT,
    version      BIGINT NOT NULL,
    search       TEXT   COLLATE "C" NOT NULL,
    metadata     TEXT   NOT NULL
) WITH (fillfactor = 80);
-- An owner is at most 200 characters long where the API makes it; an index
-- refuses texts that are much longer.
CREATE INDEX keys_owner ON keys (left(owner, 200), n);
CREATE INDEX keys_standing ON keys (standing, n, expires_at);
CREATE INDEX keys_expiry ON keys (standing, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX keys_admin ON keys (n) WHERE admin = 'write';

-- The SHA-256 of each secret. ends_at: the end of its grace, NULL for a
-- key's current secret.
CREATE TABLE secrets (
    digest     BYTEA  NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    key_n      BIGINT NOT NULL REFERENCES keys (n) ON DELETE CASCADE,
    prefix     TEXT   NOT NULL,
    is_foreign BIGINT NOT NULL,
    ends_at    BIGINT
);
CREATE INDEX secrets_key ON secrets (key_n);
CREATE INDEX secrets_ending ON secrets (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX secrets_foreign ON secrets (is_foreign) WHERE is_foreign = 1;

-- The APIs to which a key has any access; '*' for all.
CREATE TABLE key_apis (
    n   BIGINT NOT NULL REFERENCES keys (n) ON DELETE CASCADE,
    api TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (n, api)
);
CREATE INDEX key_apis_api ON key_apis (api, n);

-- The grams of keys.search, as hashes. They answer which keys may contain a
-- text; what they do contain is in keys.search. No extension is needed, and a
-- table of their own keeps this index out of every other change of a key.
CREATE TABLE key_grams (
    n     BIGINT NOT NULL PRIMARY KEY REFERENCES keys (n) ON DELETE CASCADE,
    grams INTEGER[] NOT NULL
);
CREATE INDEX key_grams_grams ON key_grams USING gin (grams);

CREATE TABLE audit (
    n      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT   COLLATE "C" NOT NULL,
    action TEXT   NOT NULL,
    key_id TEXT   COLLATE "C" NOT NULL,
    ip     TEXT   NOT NULL,
    before TEXT,
    after  TEXT
);
CREATE INDEX audit_key ON audit (key_id, n);
CREATE INDEX audit_actor ON audit (actor, n);

-- What caches must forget; the oldest rows are pruned. digests is the
-- concatenation of 32-byte digests.
CREATE TABLE changes (
    seq        BIGINT NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    is_foreign BIGINT NOT NULL,
    digests    BYTEA  NOT NULL
);

-- Wakes the nodes when the change commits, whoever makes it. It is no more
-- than that: the table says what changed.
-- +goose StatementBegin
CREATE FUNCTION keywarden_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keywarden_changes', NEW.seq::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER changes_notify AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION keywarden_notify();

CREATE TABLE endpoints (
    api   TEXT COLLATE "C" NOT NULL,
    id    TEXT COLLATE "C" NOT NULL,
    title TEXT NOT NULL,
    PRIMARY KEY (api, id)
);

-- The running gateways, as they last told of themselves. started_at is by
-- their own clock, seen_at by the database's. lease_ms and keeps_ms: how long
-- after seen_at a node counts as live, and for how long after that it may
-- still answer from memory. apis: what its configuration declares, as JSON.
CREATE TABLE nodes (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    version    TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    lease_ms   BIGINT NOT NULL,
    keeps_ms   BIGINT NOT NULL,
    applied    BIGINT NOT NULL,
    skew_ms    BIGINT NOT NULL,
    apis       TEXT   NOT NULL
);

-- +goose Down
DROP TABLE nodes;
DROP TABLE endpoints;
DROP TABLE changes;
DROP FUNCTION keywarden_notify;
DROP TABLE audit;
DROP TABLE key_grams;
DROP TABLE key_apis;
DROP TABLE secrets;
DROP TABLE keys;
DROP TABLE counters;
