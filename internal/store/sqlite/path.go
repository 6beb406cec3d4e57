package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// locate makes the database's folder and returns its path in the one form by
// which all processes name the file, its log and its lock: absolute, symbolic
// links resolved.
func locate(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("%q is not the path of a file", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return "", fmt.Errorf("making the folder of the database: %w", err)
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err == nil {
		return resolved, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if target, err := os.Readlink(abs); err == nil { // to a file that is not there yet
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(abs), target)
		}
		return locate(target)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(abs))
	return filepath.Join(folder, filepath.Base(abs)), err
}

// createFile makes an empty database that only its owner can read, if there
// is none. SQLite gives its log and its shared memory the same mode.
//
// A file that is there must not even be opened: closing it again would drop
// the locks that another store of this process holds on it, as POSIX locks
// belong to the process (https://sqlite.org/howtocorrupt.html, 2.2).
func createFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("creating the database: %w", err)
	}
	return file.Close()
}

// The pragmas of every connection. A commit that was acknowledged must
// survive power loss, hence FULL: WAL alone would keep the file whole, but may
// lose the last commits. The file is not mapped into memory: a start that reads
// a million keys would count 760 MiB of it as the process's own, for each
// connection anew, and a failing disk would end the process by SIGBUS instead
// of failing a query. A look-up among a million takes 14.1 µs so, 13.4 mapped.
var pragmas = []string{"synchronous(FULL)", "foreign_keys(1)", "mmap_size(0)", "trusted_schema(0)"}

// writerDSN opens transactions with BEGIN IMMEDIATE: one that reads first and
// then wants to write gets SQLITE_BUSY at once, however long it would wait.
// The wait for other processes is begin's, as SQLite's ignores contexts. The
// log is cut after a large import.
func writerDSN(path string) string {
	return dsn(path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": append([]string{"busy_timeout(50)", "journal_mode(WAL)", "journal_size_limit(67108864)"}, pragmas...),
	})
}

// readerDSN is for connections that can't write.
func readerDSN(path string) string {
	return dsn(path, url.Values{"_pragma": append([]string{"busy_timeout(2000)", "query_only(1)"}, pragmas...)})
}

// dsn names the file as a URI, in which no character of a path has a meaning
// of its own: ? and # and % are escaped.
func dsn(path string, parameters url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // file:///C:/…
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: parameters.Encode()}
	return u.String()
}
