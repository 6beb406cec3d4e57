-- +goose Up

-- How often keys were used, for what, and what became of it. A use is counted
-- in a minute, an hour and a day at once (step, in seconds; at is when that
-- began, in Unix milliseconds), so that no count has to be carried from one to
-- the next. Rows lie in the order of time: what is written lies together, what
-- is too old lies first, and one key's are a look-up a bucket. key_n is never
-- given out again, so rows of a deleted key are nobody's; they go when they are
-- too old, and deleting a key costs nothing.
CREATE TABLE usage (
    step     INTEGER NOT NULL CHECK (step IN (60, 3600, 86400)),
    at       INTEGER NOT NULL,
    key_n    INTEGER NOT NULL,
    api      TEXT    NOT NULL,
    endpoint TEXT    NOT NULL,
    access   INTEGER NOT NULL,
    outcome  TEXT    NOT NULL,
    n        INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (step, at, key_n, api, endpoint, access, outcome)
) STRICT, WITHOUT ROWID;

-- The same over all keys of an owner, as the owner was then; in hours and days.
CREATE TABLE usage_totals (
    step    INTEGER NOT NULL CHECK (step IN (3600, 86400)),
    at      INTEGER NOT NULL,
    api     TEXT    NOT NULL,
    owner   TEXT    NOT NULL,
    allowed INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (step, at, api, owner)
) STRICT, WITHOUT ROWID;

-- The last batch of each node that counts: one that is sent again, because
-- nobody knows whether it was committed, must not count twice.
CREATE TABLE usage_writers (
    id    TEXT    NOT NULL PRIMARY KEY,
    batch INTEGER NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: when some node last cleared away what is too old.
CREATE TABLE usage_upkeep (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;
INSERT INTO usage_upkeep (one, at) VALUES (1, 0);

-- The day of a key's last use, or of its creation if there was none: what
-- finds keys that nobody uses.
ALTER TABLE keys ADD COLUMN used_day INTEGER GENERATED ALWAYS AS (coalesce(last_used_at, created_at) / 86400000) VIRTUAL;
CREATE INDEX keys_unused ON keys (used_day, n);

-- +goose Down
DROP INDEX keys_unused;
ALTER TABLE keys DROP COLUMN used_day;
DROP TABLE usage_upkeep;
DROP TABLE usage_writers;
DROP TABLE usage_totals;
DROP TABLE usage;
