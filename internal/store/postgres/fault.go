package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	protocolViolation   = "08P01"
	readOnlyTransaction = "25006"
	noSuchDatabase      = "3D000"
	noSuchSchema        = "3F000"
	noPrivilege         = "42501"
	invalidAuth         = "28"  // a class
	connectionLost      = "08"  // a class
	shutdown            = "57P" // shutdown, crash, database dropped
	cannotConnectNow    = "57P03"
)

func code(err error) string {
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		return fault.Code
	}
	return ""
}

// misconfigured reports whether the server itself says that trying again is
// of no use as long as nobody changes something.
func misconfigured(err error) bool {
	c := code(err)
	return c == noSuchDatabase || c == noSuchSchema || c == noPrivilege || strings.HasPrefix(c, invalidAuth)
}

// fromPooler reports whether a pooler refused a connection because of the
// limits that were asked for: a pooler that gives away connections for one
// transaction can't set anything for a session.
func fromPooler(err error) bool {
	var fault *pgconn.PgError
	return errors.As(err, &fault) && fault.Code == protocolViolation && strings.Contains(fault.Message, "startup parameter")
}

// lost reports whether a question was lost with its connection, which was
// open before: not that it could not be opened, or took too long.
func lost(err error) bool {
	var (
		connecting *pgconn.ConnectError
		netFault   net.Error
	)
	switch c := code(err); {
	case err == nil, errors.As(err, &connecting), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case c != "":
		return strings.HasPrefix(c, connectionLost) || strings.HasPrefix(c, shutdown) && c != cannotConnectNow
	}
	return errors.As(err, &netFault) && !netFault.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, pgconn.ErrConnClosed)
}

// plain returns err without what the driver knows of the connection: its
// configuration has the password in it.
func plain(err error) error {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return fmt.Errorf("connecting: %w", connecting.Unwrap())
	}
	return err
}
