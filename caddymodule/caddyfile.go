package caddymodule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// block reads the options of one block of a Caddyfile. Each option is a
// function that finds the dispenser at the option's name and reads the rest
// of its line, or its own block.
type block struct {
	// name is what messages call the block.
	name string
	// order lists the options as messages do.
	order []string
	// options by name; those in many may stand several times.
	options map[string]func(*caddyfile.Dispenser) error
	many    map[string]bool
}

func newBlock(name string) *block {
	return &block{name: name, options: map[string]func(*caddyfile.Dispenser) error{}, many: map[string]bool{}}
}

// once adds an option that may stand once.
func (b *block) once(name string, read func(*caddyfile.Dispenser) error) *block {
	b.order = append(b.order, name)
	b.options[name] = read
	return b
}

// several adds an option that may stand several times.
func (b *block) several(name string, read func(*caddyfile.Dispenser) error) *block {
	b.many[name] = true
	return b.once(name, read)
}

// read reads the block that begins on the dispenser's line, if there is one.
func (b *block) read(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("%s: found %q; expected a block or the end of the line", b.name, d.Val())
	}
	seen := make(map[string]int)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		read := b.options[name]
		if read == nil {
			return d.Errf("%s: unknown option %q; expected %s", b.name, name, oneOf(b.order))
		}
		if line := seen[name]; line != 0 && !b.many[name] {
			return d.Errf("%s: %s is given twice, first on line %d; expected it once", b.name, name, line)
		}
		seen[name] = d.Line()
		if err := read(d); err != nil {
			return err
		}
	}
	return nil
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

// argument reads the one argument of an option.
func argument(d *caddyfile.Dispenser, expected string) (string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	switch len(args) {
	case 1:
		return args[0], nil
	case 0:
		return "", d.Errf("%s: found nothing after it; expected %s", option, expected)
	}
	return "", d.Errf("%s: found %d arguments (%s); expected %s", option, len(args), strings.Join(args, " "), expected)
}

// choice reads the one argument of an option, which is one of two words.
func choice(d *caddyfile.Dispenser, one, other string) (string, error) {
	option, expected := d.Val(), one+" or "+other
	word, err := argument(d, expected)
	if err == nil && word != one && word != other {
		err = d.Errf("%s: found %q; expected %s", option, word, expected)
	}
	return word, err
}

// arguments reads one argument or more.
func arguments(d *caddyfile.Dispenser, expected string) ([]string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Errf("%s: found nothing after it; expected %s", option, expected)
	}
	return args, nil
}

// alone reads an option that has no argument.
func alone(d *caddyfile.Dispenser) error {
	option := d.Val()
	if d.NextArg() {
		return d.Errf("%s: found %q after it; expected nothing", option, d.Val())
	}
	return nil
}

func text(dst *string, expected string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) (err error) {
		*dst, err = argument(d, expected)
		return err
	}
}

func duration(dst **config.Duration) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		option := d.Val()
		arg, err := argument(d, "a duration, such as 1m")
		if err != nil {
			return err
		}
		parsed, err := config.ParseDuration(arg)
		if err != nil {
			return d.Errf("%s: %w", option, err)
		}
		*dst = &parsed
		return nil
	}
}

func size(dst *int64) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		option := d.Val()
		arg, err := argument(d, "a size, such as 1MiB")
		if err != nil {
			return err
		}
		n, err := humanize.ParseBytes(arg)
		if err != nil || n == 0 || n > config.MaxBodyLimit {
			return d.Errf("%s: found %q; expected a size from 1B to 1GiB, such as 2MB or 1MiB", option, arg)
		}
		*dst = int64(n)
		return nil
	}
}

func integer(dst **int, expected string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		option := d.Val()
		arg, err := argument(d, expected)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return d.Errf("%s: found %q; expected %s", option, arg, expected)
		}
		*dst = &n
		return nil
	}
}

// patterns turns the arguments of the current line into patterns that know
// where they stand.
func patterns(d *caddyfile.Dispenser, args []string) []config.Pattern {
	out := make([]config.Pattern, 0, len(args))
	for _, arg := range args {
		out = append(out, config.Pattern{Text: arg, Where: where(d)})
	}
	return out
}

// where is the dispenser's place as messages name it.
func where(d *caddyfile.Dispenser) string { return fmt.Sprintf("%s:%d", d.File(), d.Line()) }

// located gives faults that know no place of their own the given one.
func located(err error, where string) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var faults []error
		for _, e := range joined.Unwrap() {
			faults = append(faults, located(e, where))
		}
		return errors.Join(faults...)
	}
	var fault *route.Fault
	if errors.As(err, &fault) {
		if fault.Where != "" {
			return err
		}
		return &route.Fault{Where: where, Message: fault.Message}
	}
	return &route.Fault{Where: where, Message: err.Error()}
}
