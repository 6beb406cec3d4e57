-- +goose Up

-- What keys are found by, in parts of some thousand keys that are written once:
-- see sqlstore/part.go. It answers which keys may be meant; whether they are is
-- in their rows.
DROP TABLE key_grams;
CREATE TABLE text_parts (
    part    INTEGER PRIMARY KEY,
    size    INTEGER NOT NULL,
    members BLOB    NOT NULL
) STRICT;
CREATE TABLE text_postings (
    part     INTEGER NOT NULL,
    bucket   INTEGER NOT NULL,
    postings BLOB    NOT NULL,
    PRIMARY KEY (part, bucket)
) STRICT, WITHOUT ROWID;

-- The keys that no part knows, or not as they are now: those there are already
-- become parts when this migration is done.
CREATE TABLE text_rest (n INTEGER PRIMARY KEY) STRICT;
INSERT INTO text_rest (n) SELECT n FROM keys;

-- +goose Down
DROP TABLE text_rest;
DROP TABLE text_postings;
DROP TABLE text_parts;
CREATE VIRTUAL TABLE key_grams USING fts5 (grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
