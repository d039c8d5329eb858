package client

import "fmt"

// System is what runs on a client's computer.
type System string

// The systems that files are made for.
const (
	Linux   System = "linux"
	MacOS   System = "macos"
	Windows System = "windows"
	// Mobile stands for iOS and Android.
	Mobile System = "mobile"
)

// ParseSystem reads the name of a system.
func ParseSystem(text string) (System, error) {
	switch s := System(text); s {
	case Linux, MacOS, Windows, Mobile:
		return s, nil
	}
	return "", fmt.Errorf("%q is none of linux, macos, windows and mobile", text)
}
