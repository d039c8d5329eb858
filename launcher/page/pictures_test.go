package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"image"
	"image/draw"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"panteras/internal/lab"

	"github.com/chromedp/chromedp"
)

// update makes the pictures of the documentation anew:
//
//	go test ./launcher/page -run 'TestPage/ADay' -update
var update = flag.Bool("update", false, "make the pictures of the status page in docs/ anew")

// pictures keeps how it looks where CI finds it, and with -update in docs/.
func (b *tab) pictures(name string) {
	b.t.Helper()
	for _, screen := range []struct {
		name, scheme  string
		width, height int64
		scale         float64
		inDocs        string
		rows          int // of the picture in docs/, which need not show all; 0 is all
	}{
		{"-phone", "dark", 390, 844, 1.5, "status-page-phone.png", 1800},
		{"-desktop", "light", 1280, 900, 1, "status-page.png", 0},
	} {
		b.size(screen.width, screen.height, screen.scale, screen.scheme)
		lab.Screenshot(b.t, b.ctx, name+screen.name)
		if !*update || name != "page" {
			continue
		}
		const lossless = 100
		shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(lossless))
		if err == nil {
			shot, err = labelled(shot, screen.rows)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(lab.Root(b.t), "docs", screen.inDocs), shot, 0o644)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// look names the form and the style of the page: other ones make another picture.
func look() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(assets, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) == ".js" {
			return err
		}
		text, err := fs.ReadFile(assets, path)
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

// A chunk of text in a PNG file, which says of what look a picture is, and where it may
// stand: behind the signature and the header, which is the first chunk (PNG specification,
// 11.2.1 and 11.3.3.2).
const (
	lookChunk   = "tEXt" + "Look\x00"
	afterHeader = 8 + 25
)

// labelled is a picture, cut after some rows (0: none), that says of what look it is.
func labelled(picture []byte, rows int) ([]byte, error) {
	name, err := look()
	if err != nil {
		return nil, err
	}
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	if rows > 0 && rows < img.Bounds().Dy() {
		cut := image.NewNRGBA(image.Rect(0, 0, img.Bounds().Dx(), rows))
		draw.Draw(cut, cut.Rect, img, img.Bounds().Min, draw.Src)
		img = cut
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&file, img); err != nil {
		return nil, err
	}
	chunk := []byte(lookChunk + name)
	out := bytes.Clone(file.Bytes()[:afterHeader])
	out = binary.BigEndian.AppendUint32(out, uint32(len(chunk)-len("tEXt")))
	out = append(out, chunk...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
	return append(out, file.Bytes()[afterHeader:]...), nil
}

// TestPicturesAreOfThisPage compares the look of the pictures in docs/ with that of the page.
func TestPicturesAreOfThisPage(t *testing.T) {
	t.Parallel()
	name, err := look()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"status-page.png", "status-page-phone.png"} {
		picture, err := os.ReadFile(filepath.Join(lab.Root(t), "docs", file))
		if err == nil {
			_, err = png.Decode(bytes.NewReader(picture))
		}
		if err != nil || !bytes.Contains(picture, []byte(lookChunk+name)) {
			t.Errorf("docs/%s shows another page than this one (%v); make it anew: go test ./launcher/page -run TestPage/ADay -update, and look at it", file, err)
		}
	}
}
