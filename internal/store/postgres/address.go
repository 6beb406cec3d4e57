package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// defaultConns is how many connections a node opens at most, unless the
// address says another number by pool_max_conns: a server takes 100 if nobody
// has told it otherwise.
const defaultConns = 12

// fewestConns is what a node can't do without: one each for look-ups, for
// administration, for following changes, and for hearing of them.
const fewestConns = 4

// address is where a database is and how to ask it.
type address struct {
	pool *pgxpool.Config
	// listen is where changes are heard of, if it is not where the rest is.
	listen *pgx.ConnConfig
	conns  int
	// pooled: there is a pooler in between that gives each transaction
	// another connection, so nothing may be kept on one.
	pooled bool
}

// Check says what is wrong with an address; listen is "" for none.
func Check(text, listen string) error {
	_, err := parse(text, listen)
	return err
}

func parse(text, listen string) (*address, error) {
	if strings.TrimSpace(text) == "" {
		// pgx would take it for "what the environment says", or for localhost.
		return nil, errors.New("the address is empty; expected a URL (postgres://USER:PASSWORD@HOST/DATABASE) or keywords (host=… dbname=…)")
	}
	pool, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, parseFault(err)
	}
	a := &address{pool: pool, conns: defaultConns}
	if strings.Contains(text, "pool_max_conns") {
		a.conns = int(pool.MaxConns)
	}
	if a.conns < fewestConns {
		return nil, fmt.Errorf("pool_max_conns is %d; expected %d or more: one each for look-ups, administration, and two for changes", a.conns, fewestConns)
	}
	a.pooled = strings.Contains(text, "default_query_exec_mode") && pool.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement
	prepare(pool.ConnConfig)
	if listen == "" {
		return a, nil
	}
	other, err := pgxpool.ParseConfig(listen) // understands the pool's parameters, too
	if err != nil {
		return nil, fmt.Errorf("listen: %w", parseFault(err))
	}
	a.listen = other.ConnConfig
	prepare(a.listen)
	return a, nil
}

// connectTimeout bounds a connection attempt to one host, unless the address
// says otherwise: all must be right again within 5 s of the store.
const connectTimeout = 3 * time.Second

// prepare fills in what holds for every connection.
func prepare(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.DialFunc = dial
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "keywarden"
	}
	// Of several hosts one can be written to. A standby is behind, and would
	// bring back what was revoked.
	if severalHosts(c) && c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	c.OnPgError = func(_ *pgconn.PgConn, fault *pgconn.PgError) bool {
		// After a failover this server only reads: let go of it.
		return fault.Severity != "FATAL" && fault.Severity != "PANIC" && fault.Code != readOnlyTransaction
	}
}

func severalHosts(c *pgx.ConnConfig) bool {
	for _, other := range c.Fallbacks { // a host is there twice if it may do without TLS
		if other.Host != c.Host || other.Port != c.Port {
			return true
		}
	}
	return false
}

// parseFault says what is wrong without the address, which has a password in
// it: the driver's words quote it, more or less masked.
func parseFault(err error) error {
	text := err.Error()
	for _, known := range []string{
		"failed to parse as URL", "failed to parse as keyword/value", "invalid port", "invalid connect_timeout", "unknown target_session_attrs value",
		"failed to read service", "invalid sslcertmode", "could not match", "cannot parse pool_max_conns", "pool_max_conns too small",
		"cannot parse pool_max_conn_lifetime", "cannot parse pool_max_conn_idle_time", "cannot parse pool_health_check_period",
		"invalid default_query_exec_mode", "cannot parse statement_cache_capacity", "cannot parse description_cache_capacity",
		"cannot parse min_read_buffer_size", "unknown channel_binding value", "invalid require_auth",
	} {
		if strings.Contains(text, known) {
			return fmt.Errorf("%s; %w", known, errAddress)
		}
	}
	if tls := "failed to configure TLS"; strings.Contains(text, tls) {
		return fmt.Errorf("%s: %w", tls, errors.Unwrap(err)) // a mode, or a file that can't be read
	}
	return errAddress
}

var errAddress = errors.New("expected an address such as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full " +
	"(special characters of a password are percent-encoded in it), or host=HOST user=USER password=PASSWORD dbname=DATABASE")

// kinds of connections of a node.
type use int

const (
	forLookups use = iota
	forAdmin
	forFeed
)

// The server ends what takes longer; a node that has gone away in the middle
// of a change must not keep the others from theirs.
const (
	lookupTime = 3 * time.Second
	adminTime  = 2 * time.Minute
	lockTime   = 10 * time.Second
	idleTime   = 30 * time.Second
)

// config returns the configuration of a pool for one use.
func (a *address) config(u use) *pgxpool.Config {
	c := a.pool.Copy()
	c.PingTimeout = 2 * time.Second
	statement := adminTime
	switch u {
	case forLookups:
		c.MaxConns = int32(max(1, (a.conns-2)/2)) //nolint:gosec // G115: parsed as an int32
		c.MinIdleConns = 1                        // a first look-up must not wait for a connection
		statement = lookupTime
		// A look-up that met a dead connection is repeated; asking each
		// connection first would double the time of them all.
		c.ShouldPing = neverPing
	case forAdmin:
		c.MaxConns = int32(max(1, a.conns-2-(a.conns-2)/2)) //nolint:gosec // G115: as above
	case forFeed:
		c.MaxConns = 1
		statement = lookupTime
	}
	c.MinConns = 0
	if !a.pooled {
		limit(c.ConnConfig, statement)
		if u == forAdmin {
			pageByPage(c.ConnConfig)
		}
	}
	c.ConnConfig.DefaultQueryExecMode = a.mode(u)
	return c
}

func neverPing(context.Context, pgxpool.ShouldPingParams) bool { return false }

// mode says how queries are asked. Look-ups are one text, planned once. Lists
// are planned anew with their arguments: how many keys an owner has decides
// which plan is quick. Both take one round trip.
func (a *address) mode(u use) pgx.QueryExecMode {
	switch {
	case a.pooled && a.pool.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement:
		return a.pool.ConnConfig.DefaultQueryExecMode
	case a.pooled || u == forAdmin:
		return pgx.QueryExecModeCacheDescribe
	}
	return pgx.QueryExecModeCacheStatement
}

// pageByPage keeps the planner from joins that read a whole table or index: a
// list takes 50 keys from the head of an index, and the rest of each by number.
// How many keys it must pass over first, the planner can only guess.
func pageByPage(c *pgx.ConnConfig) {
	for name, value := range map[string]string{
		"enable_hashjoin": "off", "enable_mergejoin": "off",
		// Starting workers or a compiler takes longer than a page does.
		"max_parallel_workers_per_gather": "0", "jit": "off",
	} {
		if _, said := c.RuntimeParams[name]; !said {
			c.RuntimeParams[name] = value
		}
	}
}

// limit sets what the server shall end, where the address does not say it.
func limit(c *pgx.ConnConfig, statement time.Duration) {
	for name, value := range map[string]time.Duration{
		"statement_timeout": statement, "lock_timeout": lockTime, "idle_in_transaction_session_timeout": idleTime,
	} {
		if _, said := c.RuntimeParams[name]; !said {
			c.RuntimeParams[name] = strconv.FormatInt(value.Milliseconds(), 10)
		}
	}
}
