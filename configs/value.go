package configs

// value reads a setting's text into its field and writes the field back as text
// that reads the same.
type value interface {
	set(s *Settings, text string) error
	text(s *Settings) string
	kind() string
}

// codec is how a kind of value is written. Errors of parse complete the
// sentence `NAME="text" …` and never repeat the text.
type codec[T any] struct {
	name   string
	parse  func(text string) (T, error)
	format func(T) string
}

// field is a codec at a place in Settings.
type field[T any] struct {
	at func(*Settings) *T
	codec[T]
}

// in ties a codec to a field; it exists so that rows need not name T.
func in[T any](at func(*Settings) *T, c codec[T]) value {
	return field[T]{at: at, codec: c}
}

func (f field[T]) set(s *Settings, text string) error {
	v, err := f.parse(text)
	if err != nil {
		return err
	}
	*f.at(s) = v
	return nil
}

func (f field[T]) text(s *Settings) string { return f.format(*f.at(s)) }

func (f field[T]) kind() string { return f.name }

// optOut is the value of a setting that has no field: it is only looked at by
// other settings.
type optOut struct{}

func (optOut) set(*Settings, string) error { return nil }
func (optOut) text(*Settings) string       { return "" }
func (optOut) kind() string                { return "text" }
