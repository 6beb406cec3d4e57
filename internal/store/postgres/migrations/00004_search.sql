-- +goose Up

-- What keys are found by, in parts of some thousand keys that are written once:
-- see sqlstore/part.go. It answers which keys may be meant; whether they are is
-- in their rows.
DROP TABLE key_grams;
CREATE TABLE text_parts (
    part    BIGINT NOT NULL PRIMARY KEY,
    size    BIGINT NOT NULL,
    members BYTEA  NOT NULL
);
CREATE TABLE text_postings (
    part     BIGINT NOT NULL,
    bucket   BIGINT NOT NULL,
    postings BYTEA  NOT NULL,
    PRIMARY KEY (part, bucket)
);

-- The keys that no part knows, or not as they are now: those there are already
-- become parts when this migration is done.
CREATE TABLE text_rest (n BIGINT NOT NULL PRIMARY KEY);
INSERT INTO text_rest (n) SELECT n FROM keys;

-- With n the index alone says which keys lapsed that nobody has noted.
DROP INDEX keys_expiry;
CREATE INDEX keys_expiry ON keys (standing, expires_at, n) WHERE expires_at IS NOT NULL;

-- What belongs to a key goes with it, whoever deletes it. A foreign key does
-- that too, but asks for each row of an import as well whether its key is
-- there, which took a third of it. Secrets and APIs without a key are found
-- by nobody: whoever looks for them joins the key.
ALTER TABLE secrets DROP CONSTRAINT secrets_key_n_fkey;
ALTER TABLE key_apis DROP CONSTRAINT key_apis_n_fkey;
-- +goose StatementBegin
CREATE FUNCTION keywarden_keys_gone() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM secrets WHERE key_n IN (SELECT n FROM gone);
    DELETE FROM key_apis WHERE n IN (SELECT n FROM gone);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER keys_gone AFTER DELETE ON keys REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION keywarden_keys_gone();

-- +goose Down
DROP TRIGGER keys_gone ON keys;
DROP FUNCTION keywarden_keys_gone;
ALTER TABLE key_apis ADD CONSTRAINT key_apis_n_fkey FOREIGN KEY (n) REFERENCES keys (n) ON DELETE CASCADE;
ALTER TABLE secrets ADD CONSTRAINT secrets_key_n_fkey FOREIGN KEY (key_n) REFERENCES keys (n) ON DELETE CASCADE;
DROP INDEX keys_expiry;
CREATE INDEX keys_expiry ON keys (standing, expires_at) WHERE expires_at IS NOT NULL;
DROP TABLE text_rest;
DROP TABLE text_postings;
DROP TABLE text_parts;
CREATE TABLE key_grams (
    n     BIGINT NOT NULL PRIMARY KEY,
    grams INTEGER[] NOT NULL
);
CREATE INDEX key_grams_grams ON key_grams USING gin (grams);
