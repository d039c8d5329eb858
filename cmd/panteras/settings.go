package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"panteras/configs"

	"github.com/spf13/cobra"
)

const settingsHelp = `Print every setting, its value and where the value came from.

Values are taken from, low to high precedence: the default, the files common,
host and overwrite in the settings folder (--restricted DIR, else ./restricted
if it exists, else /etc/panteras), the environment, flags. HOSTNAME inherited
from the environment ranks below the files. An empty value means the default.

Secrets are shown as ******** when they are set, and have no flag. When a
setting is wrong, the list is printed all the same, the problems follow on
stderr, and the exit code is 2.`

const settingsExample = `  panteras settings
  panteras settings --json --restricted /etc/panteras
  DNS_PORT=5353 panteras settings --dns-mode legacy`

func newSettingsCommand(a *app) *cobra.Command {
	var asJSON, asMarkdown bool
	cmd := &cobra.Command{
		Use:     "settings",
		Short:   "Print every setting, its value and where it came from",
		Long:    settingsHelp,
		Example: settingsExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON && asMarkdown {
				return usagef("--json and --markdown exclude each other")
			}
			if asMarkdown {
				_, err := io.WriteString(a.stdout, configs.Markdown())
				return err
			}
			// What was found is shown even beside problems: it helps to solve them.
			loaded, _, err := a.load(cmd)
			show := printSettings
			if asJSON {
				show = printSettingsJSON
			}
			if printErr := show(a.stdout, loaded.Origins); printErr != nil {
				return printErr
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asMarkdown, "markdown", false, "print the table of docs/settings.md instead of values")
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}

// printSettings writes a table for people.
func printSettings(w io.Writer, origins []configs.Origin) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVALUE\tORIGIN")
	for _, o := range origins {
		fmt.Fprintf(table, "%s\t%s\t%s\n", o.Name, visible(o.Shown()), o.Origin)
	}
	return table.Flush()
}

// visible quotes a value that would otherwise blur into the table.
func visible(text string) string {
	if text == "" {
		return "-"
	}
	if quoted := strconv.Quote(text); text != strings.TrimSpace(text) || quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// printSettingsJSON writes {"settings":[{name,value,origin,secret}…]} in the order
// of the documentation.
func printSettingsJSON(w io.Writer, origins []configs.Origin) error {
	type setting struct {
		Name   string `json:"name"`
		Value  string `json:"value"`
		Origin string `json:"origin"`
		Secret bool   `json:"secret"`
	}
	list := make([]setting, 0, len(origins))
	for _, o := range origins {
		list = append(list, setting{Name: o.Name, Value: o.Shown(), Origin: o.Origin, Secret: o.Secret})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(map[string][]setting{"settings": list})
}
