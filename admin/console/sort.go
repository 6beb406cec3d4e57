package console

import "strings"

// sorting is an order that the list can have.
type sorting struct{ Word, Label string }

// sortings are the menu; "" is the API's own order.
var sortings = []sorting{
	{"", "Newest first"},
	{"created_at", "Oldest first"},
	{"name", "Name, A to Z"},
	{"-name", "Name, Z to A"},
	{"owner", "Owner, A to Z"},
	{"-owner", "Owner, Z to A"},
	{"expires_at", "Ends first"},
	{"-expires_at", "Ends last"},
	{"-last_used_at", "Used last"},
	{"last_used_at", "Unused longest"},
}

// column is a column of the list.
type column struct {
	Label string
	Sort  string // the order that its head gives; "": none
	Aria  string // ascending or descending, if it is the one there is
}

// columnsOf returns the heads for a list in an order.
func columnsOf(current string) []column {
	if current == "" {
		current = "-created_at"
	}
	columns := []column{
		{Label: "Name", Sort: "name"},
		{Label: "Key"},
		{Label: "Owner", Sort: "owner"},
		{Label: "Permissions"},
		{Label: "State"},
		{Label: "Expires", Sort: "expires_at"},
		{Label: "Last used", Sort: "-last_used_at"},
		{Label: "Created", Sort: "-created_at"},
	}
	by, falls := strings.CutPrefix(current, "-")
	for i, c := range columns {
		switch {
		case c.Sort == "" || strings.TrimPrefix(c.Sort, "-") != by:
		case falls:
			columns[i].Sort, columns[i].Aria = by, "descending"
		default:
			columns[i].Sort, columns[i].Aria = "-"+by, "ascending"
		}
		if columns[i].Sort == "-created_at" {
			columns[i].Sort = "newest"
		}
	}
	return columns
}

// plainColumns are the same without orders, for one key.
func plainColumns() []column {
	columns := columnsOf("")
	for i := range columns {
		columns[i].Sort, columns[i].Aria = "", ""
	}
	return columns
}
