package client

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"panteras/tunnel"
)

// decode reads a QR code as a phone does.
func decode(t *testing.T, picture []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qr.png")
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("zbarimg", "--quiet", "--raw", "--oneshot", "-Sbinary", path)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zbarimg: %v\n%s", err, stderr.String())
	}
	return string(out)
}

func TestQRCodesSayWhatTheFileSays(t *testing.T) {
	for _, system := range []System{Linux, Mobile} { // the longest and the shortest
		files, err := Render(system, testPeer(t), testGateway(t), key(t, privateText), key(t, presharedText))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := QRImage(files.Config)
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, picture); got != files.Config {
			t.Errorf("%s: the picture says %q, the file %q", system, got, files.Config)
		}
		text, err := QRText(files.Config)
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, screenshot(t, text)); got != files.Config {
			t.Errorf("%s: the terminal says %q, the file %q", system, got, files.Config)
		}
	}
}

func TestQRCodeOfAPhoneFitsIntoATerminal(t *testing.T) {
	files, err := Render(Mobile, testPeer(t), testGateway(t), key(t, privateText), tunnel.SecretKey{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCode(files.Config)
	if err != nil || len(c) > 80 {
		t.Errorf("the code has %d columns, a terminal 80 (%v)", len(c), err)
	}
}

func TestTooLongForAQRCode(t *testing.T) {
	const most = 2953
	if _, err := QRText(strings.Repeat("x", most+1)); err == nil {
		t.Error("no error")
	}
	if _, err := QRImage(strings.Repeat("x", most+1)); err == nil {
		t.Error("no error")
	}
}

// screenshot draws what a terminal shows: every line in black on white.
func screenshot(t *testing.T, text string) []byte {
	t.Helper()
	const scale = 4
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var rows [][]rune
	for _, line := range lines {
		line, ok := strings.CutPrefix(line, "\x1b[30;47m")
		line, ok2 := strings.CutSuffix(line, "\x1b[0m")
		if !ok || !ok2 {
			t.Fatalf("a line without colours: %q", line)
		}
		rows = append(rows, []rune(line))
	}
	img := image.NewGray(image.Rect(0, 0, len(rows[0])*scale, 2*len(rows)*scale))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			dark := map[rune][2]bool{'█': {true, true}, '▀': {true, false}, '▄': {false, true}, ' ': {}}[rows[y/(2*scale)][x/scale]]
			if !dark[y/scale%2] {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
