package client

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is how many light modules must surround a QR code.
const quiet = 4

// code is a QR code: true is dark.
type code [][]bool

// newCode makes a code of a text. It corrects few errors: a screen is clean, and a
// small code fits into a terminal.
func newCode(text string) (code, error) {
	drawn, err := qr.Encode(text, qr.L, qr.Unicode)
	if err != nil {
		return nil, fmt.Errorf("the file is too long for a QR code: %d bytes", len(text))
	}
	size := drawn.Bounds().Dx()
	c := make(code, size+2*quiet)
	for y := range c {
		c[y] = make([]bool, len(c))
		for x := range c {
			inside := x >= quiet && y >= quiet && x < size+quiet && y < size+quiet
			c[y][x] = inside && color.GrayModel.Convert(drawn.At(x-quiet, y-quiet)).(color.Gray).Y < 128
		}
	}
	return c, nil
}

// QRText is a text as a QR code for a terminal, two modules in each character. The
// colours are set, so it can be read on dark and on light ones.
func QRText(text string) (string, error) {
	c, err := newCode(text)
	if err != nil {
		return "", err
	}
	const blackOnWhite, plain = "\x1b[30;47m", "\x1b[0m"
	var b strings.Builder
	for y := 0; y < len(c); y += 2 {
		b.WriteString(blackOnWhite)
		for x := range c[y] {
			lower := y+1 < len(c) && c[y+1][x]
			switch {
			case c[y][x] && lower:
				b.WriteRune('█')
			case c[y][x]:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteRune(' ')
			}
		}
		b.WriteString(plain + "\n")
	}
	return b.String(), nil
}

// QRImage is a text as a QR code in a PNG file.
func QRImage(text string) ([]byte, error) {
	c, err := newCode(text)
	if err != nil {
		return nil, err
	}
	const scale = 6
	img := image.NewPaletted(image.Rect(0, 0, len(c)*scale, len(c)*scale), color.Palette{color.White, color.Black})
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if c[y/scale][x/scale] {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
