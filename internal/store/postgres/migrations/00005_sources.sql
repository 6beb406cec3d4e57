-- +goose Up

-- The networks that a key may be used from, in CIDR notation and with spaces
-- between them; '' for all.
ALTER TABLE keys ADD COLUMN sources TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE keys DROP COLUMN sources;
