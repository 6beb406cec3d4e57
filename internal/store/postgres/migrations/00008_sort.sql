-- +goose Up

-- Lists by name (what is searched begins with it, folded) and by expiry, those
-- that never end last. Lists by owner and by last use have indexes already.
CREATE INDEX keys_by_name ON keys (substr(search, 1, 100), n);
CREATE INDEX keys_by_expiry ON keys (coalesce(expires_at, 9223372036854775807), n);

-- +goose Down
DROP INDEX keys_by_expiry;
DROP INDEX keys_by_name;
