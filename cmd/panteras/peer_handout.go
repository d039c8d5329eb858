package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"panteras/internal/statefile"
	"panteras/tunnel/admin"
	"panteras/tunnel/client"
)

// deliver writes or prints what a client gets. What it has written it removes again
// when it fails.
func (o *handOut) deliver(a *app, i *admin.Issued) (err error) {
	if o.asJSON {
		return deliverJSON(a, i)
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	write := func(path string, content []byte) error {
		if err := createNew(path, content); err != nil {
			return err
		}
		written = append(written, path)
		return nil
	}
	qr := o.qr
	if o.output == "" || o.output == "-" {
		if _, err := io.WriteString(a.stdout, i.Files.Config); err != nil {
			return err
		}
		qr = qr || i.Complete && o.png == "" && isTerminal(a.stdout)
	} else {
		path := o.path(i)
		if err := write(path, []byte(i.Files.Config)); err != nil {
			return err
		}
		if path != o.output && !isDir(o.output) {
			fmt.Fprintf(a.stderr, "%s cannot be the name of an interface (at most 15 of a-zA-Z0-9_=+.-), so the file is %s\n", filepath.Base(o.output), path)
		}
		if i.Files.Script != "" {
			script := strings.TrimSuffix(path, ".conf") + i.Files.ScriptSuffix
			if err := write(script, []byte(i.Files.Script)); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "for the platform's names run %s once on the client\n", script)
		}
	}
	if o.png != "" {
		picture, err := client.QRImage(i.Files.Config)
		if err != nil {
			return err
		}
		if err := write(o.png, picture); err != nil {
			return err
		}
	}
	if qr {
		text, err := client.QRText(i.Files.Config)
		if err != nil && !o.qr { // nobody has asked for it
			fmt.Fprintf(a.stderr, "there is no QR code: %v\n", err)
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := io.WriteString(a.stdout, "\n"+text); err != nil {
			return err
		}
	}
	return nil
}

// deliverJSON prints what a client gets for a program.
func deliverJSON(a *app, i *admin.Issued) error {
	handed := struct {
		Name      string       `json:"name"`
		Addresses []netip.Addr `json:"addresses"`
		Gateway   string       `json:"gateway"`
		Endpoint  string       `json:"endpoint"`
		// File and ScriptFile are names for what Config and Script hold.
		File       string `json:"file"`
		Config     string `json:"config"`
		ScriptFile string `json:"script_file,omitempty"`
		Script     string `json:"script,omitempty"`
		// QR is a PNG of Config, unless the private key is missing, or it is too long.
		QR []byte `json:"qr,omitempty"`
	}{
		Name: i.Peer.Name, Addresses: i.Peer.Addresses, Gateway: i.Gateway.Name, Endpoint: i.Gateway.Endpoint,
		File: client.FileName(i.Peer.Name), Config: i.Files.Config, Script: i.Files.Script,
	}
	if i.Files.Script != "" {
		handed.ScriptFile = strings.TrimSuffix(handed.File, ".conf") + i.Files.ScriptSuffix
	}
	if i.Complete {
		var err error
		if handed.QR, err = client.QRImage(i.Files.Config); err != nil {
			fmt.Fprintf(a.stderr, "there is no QR code: %v\n", err)
		}
	}
	return writeJSON(a.stdout, handed)
}

// path is where the client file goes.
func (o *handOut) path(i *admin.Issued) string {
	if isDir(o.output) {
		return filepath.Join(o.output, client.FileName(i.Peer.Name))
	}
	return client.FilePath(o.output)
}

// createNew writes a secret into a file of its own. One that is there stays.
func createNew(path string, content []byte) error {
	err := statefile.Create(path, content)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; choose another file, or remove it", path)
	}
	return err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
