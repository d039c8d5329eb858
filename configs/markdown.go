package configs

import (
	"fmt"
	"strings"
)

// Markdown is the table of all settings for the documentation.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| setting | flag | value | default | meaning |\n|---|---|---|---|---|\n")
	for _, s := range table {
		flag := "none: secret"
		if s.Flag() != "" {
			flag = "`--" + s.Flag() + "`"
		}
		help := s.Help
		byDefault := s.Default
		switch {
		case s.AliasOf != "":
			help = "Deprecated. " + help
		case byDefault == "":
			byDefault = "empty"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, flag, cell(s.Kind()), cell(byDefault), cell(help))
	}
	return b.String()
}

// cell keeps text from ending its column.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
