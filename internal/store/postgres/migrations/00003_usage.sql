-- +goose Up

-- How often keys were used, for what, and what became of it. A use is counted
-- in a minute, an hour and a day at once (step, in seconds; at is when that
-- began, in Unix milliseconds), so that no count has to be carried from one to
-- the next. Rows lie in the order of time: what is written lies together, what
-- is too old lies first, and one key's are a look-up a bucket. key_n is never
-- given out again, so rows of a deleted key are nobody's; they go when they are
-- too old, and deleting a key costs nothing. Pages have room, so that counting
-- on touches no index.
CREATE TABLE usage (
    step     BIGINT NOT NULL CHECK (step IN (60, 3600, 86400)),
    at       BIGINT NOT NULL,
    key_n    BIGINT NOT NULL,
    api      TEXT   COLLATE "C" NOT NULL,
    endpoint TEXT   COLLATE "C" NOT NULL,
    access   BIGINT NOT NULL,
    outcome  TEXT   COLLATE "C" NOT NULL,
    n        BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (step, at, key_n, api, endpoint, access, outcome)
) WITH (fillfactor = 70);

-- The same over all keys of an owner, as the owner was then; in hours and days.
CREATE TABLE usage_totals (
    step    BIGINT NOT NULL CHECK (step IN (3600, 86400)),
    at      BIGINT NOT NULL,
    api     TEXT   COLLATE "C" NOT NULL,
    owner   TEXT   COLLATE "C" NOT NULL,
    allowed BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (step, at, api, owner)
) WITH (fillfactor = 70);

-- The last batch of each node that counts: one that is sent again, because
-- nobody knows whether it was committed, must not count twice.
CREATE TABLE usage_writers (
    id    TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    batch BIGINT NOT NULL,
    at    BIGINT NOT NULL
);

-- One row: when some node last cleared away what is too old.
CREATE TABLE usage_upkeep (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    at  BIGINT NOT NULL
);
INSERT INTO usage_upkeep (one, at) VALUES (1, 0);

-- The day of a key's last use, or of its creation if there was none: what
-- finds keys that nobody uses. It is a column, since an index of the expression
-- would be written with every use, and not only with the first of a day.
ALTER TABLE keys ADD COLUMN used_day BIGINT GENERATED ALWAYS AS (coalesce(last_used_at, created_at) / 86400000) STORED;
CREATE INDEX keys_unused ON keys (used_day, n);

-- +goose Down
DROP INDEX keys_unused;
ALTER TABLE keys DROP COLUMN used_day;
DROP TABLE usage_upkeep;
DROP TABLE usage_writers;
DROP TABLE usage_totals;
DROP TABLE usage;
