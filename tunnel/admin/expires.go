package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mostDays keeps a time within what JSON can hold.
const mostDays = 100 * 366

// ParseExpires reads how long or until when a peer has access: 12h, 30d, 8w, a date
// (until its end, in local time), a time as in RFC 3339, or never.
func ParseExpires(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	bad := fmt.Errorf("%q is neither how long nor until when a peer has access: 12h, 30d, 8w, 2027-01-31, 2027-01-31T18:00:00Z or never", text)
	for unit, days := range map[string]int64{"d": 1, "w": 7} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil || n == 0 || int64(n)*days > mostDays {
				return time.Time{}, bad
			}
			return round(now.Add(time.Duration(int64(n)*days) * 24 * time.Hour)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 && d <= mostDays*24*time.Hour {
		return round(now.Add(d)), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return checkFuture(day.AddDate(0, 0, 1), now, text)
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return checkFuture(at, now, text)
	}
	return time.Time{}, bad
}

func checkFuture(at, now time.Time, text string) (time.Time, error) {
	if !at.After(now) || at.Sub(now) > mostDays*24*time.Hour {
		return time.Time{}, fmt.Errorf("%s is not in the next hundred years", text)
	}
	return round(at), nil
}

// round leaves whole seconds, of which none is lost.
func round(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); !whole.Equal(t) {
		t = whole.Add(time.Second)
	}
	return t.UTC()
}
