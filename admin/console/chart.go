package console

import (
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// chart is how often a key was used over a time: bars, and the same as a
// table for whoever can't see them.
type chart struct {
	Width      int
	Bars       []bar
	Most       string
	From, To   string
	Step       string
	Rows       []bar // those in which something happened, newest first
	Everything string
}

// bar is one hour or day. Heights are parts of chartHeight; a request that
// is one of a million is to be seen as well.
type bar struct {
	At                   string
	Allowed, Refused     string
	X, AllowedY, AllowsH int
	RefusedY, RefusesH   int
}

const (
	chartHeight = 100
	barWidth    = 8
)

func chartOf(series []admin.UsageBucket, step string) chart {
	c := chart{Width: max(len(series), 1) * barWidth, Step: step}
	form := "2 Jan 15:04"
	if step == "day" {
		form = "2 Jan"
	}
	var most, all int64
	for _, b := range series {
		most, all = max(most, b.Allowed+b.Refused), all+b.Allowed+b.Refused
	}
	c.Most, c.Everything = number(most, ""), number(all, "request")
	for i, b := range series {
		one := bar{At: b.At.UTC().Format(form), Allowed: number(b.Allowed, ""), Refused: number(b.Refused, ""), X: i*barWidth + 1}
		one.AllowsH, one.RefusesH = height(b.Allowed, most), height(b.Refused, most)
		one.AllowedY = chartHeight - one.AllowsH
		one.RefusedY = max(one.AllowedY-one.RefusesH, 0)
		c.Bars = append(c.Bars, one)
	}
	for i := len(series) - 1; i >= 0; i-- {
		if series[i].Allowed+series[i].Refused > 0 {
			c.Rows = append(c.Rows, c.Bars[i])
		}
	}
	if len(series) > 0 {
		c.From, c.To = c.Bars[0].At, endOf(series[len(series)-1].At, step).Format(form)
	}
	return c
}

func endOf(at time.Time, step string) time.Time {
	if step == "day" {
		return at.UTC()
	}
	return at.UTC().Add(time.Hour)
}

func height(n, most int64) int {
	if n == 0 || most == 0 {
		return 0
	}
	return max(int(float64(n)/float64(most)*chartHeight), 2)
}
