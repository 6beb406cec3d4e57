-- +goose Up

-- Lists by name (what is searched begins with it, folded) and by expiry, those
-- that never end last. Lists by owner and by last use have indexes already. They
-- are columns, since a page begins at a value and a number: SQLite looks for
-- both in an index of columns, and reads all of one of expressions.
ALTER TABLE keys ADD COLUMN by_name TEXT GENERATED ALWAYS AS (substr(search, 1, 100)) VIRTUAL;
ALTER TABLE keys ADD COLUMN by_expiry INTEGER GENERATED ALWAYS AS (coalesce(expires_at, 9223372036854775807)) VIRTUAL;
CREATE INDEX keys_by_name ON keys (by_name, n);
CREATE INDEX keys_by_expiry ON keys (by_expiry, n);

-- +goose Down
DROP INDEX keys_by_expiry;
DROP INDEX keys_by_name;
ALTER TABLE keys DROP COLUMN by_expiry;
ALTER TABLE keys DROP COLUMN by_name;
