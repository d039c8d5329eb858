package configs

import "errors"

// The levels of a [Finding].
const (
	// LevelError is a setting that cannot be used as it is.
	LevelError = "error"
	// LevelWarning is a setting that has no effect, or should be written otherwise.
	LevelWarning = "warning"
)

// Finding is one thing that is wrong with the settings. It is an error, so that
// findings can be joined.
type Finding struct {
	// Level is LevelError or LevelWarning.
	Level string `json:"level"`
	// Setting is the name of the setting to change, "" where it is not known: a
	// line of a file that cannot be read at all.
	Setting string `json:"setting"`
	// Message says what was found, where, and what to do. It holds no secrets.
	Message string `json:"message"`
}

// Error is the message.
func (f Finding) Error() string { return f.Message }

// JoinErrors joins the findings that are errors; nil if there is none.
func JoinErrors(list []Finding) error {
	var problems []error
	for _, f := range list {
		if f.Level == LevelError {
			problems = append(problems, f)
		}
	}
	return errors.Join(problems...)
}

// findingsOf lists errors, and then warnings, as findings.
func findingsOf(problems []error, warnings []Finding) []Finding {
	var list []Finding
	for _, err := range problems {
		var f Finding
		if !errors.As(err, &f) {
			f = Finding{Level: LevelError, Message: err.Error()}
		}
		list = append(list, f)
	}
	return append(list, warnings...)
}
