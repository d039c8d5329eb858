package configs

import (
	"errors"
	"regexp"
	"strings"
)

// imageRows are the settings of the container that `panteras export compose` writes.
func imageRows() []Setting {
	return []Setting{
		{
			Name:  "REGISTRY",
			Help:  "The registry that `panteras export compose` takes the image from.",
			value: in(func(s *Settings) *string { return &s.Registry }, registry),
		},
		{
			Name: "PANTERAS_IMAGE_TAG", Default: "latest",
			Help:  "The image's tag.",
			value: in(func(s *Settings) *string { return &s.ImageTag }, imageTag),
		},
		{
			Name: "PANTERAS_DOCKER_IMAGE", Default: "panteras from `REGISTRY` with `PANTERAS_IMAGE_TAG`",
			Help:   "The whole name of the image.",
			value:  in(func(s *Settings) *string { return &s.DockerImage }, image),
			derive: func(r *resolution) { r.DockerImage = r.Registry + "panteras:" + r.ImageTag },
		},
		{
			Name: "PANTERAS_RESTART", Default: "always",
			Help:  "When Docker starts the container again: no, always, unless-stopped, on-failure or on-failure:N.",
			value: in(func(s *Settings) *string { return &s.DockerRestart }, dockerRestart),
		},
		{
			Name: "HOST_DOCKER", Default: "false",
			Help:  "Let the container use the docker program of the host.",
			value: in(func(s *Settings) *bool { return &s.HostDocker }, boolean),
		},
		{
			Name: "GOMAXPROCS", Default: "0",
			Help:  "How many processors panteras itself reckons with in the container; with 0, as many as it has.",
			value: in(func(s *Settings) *int { return &s.GoMaxProcs }, number("processors", 0, 4096)),
		},
	}
}

var (
	imagePattern   = regexp.MustCompile(`^[a-z0-9]([a-zA-Z0-9._:/-]*[a-zA-Z0-9])?(@sha256:[0-9a-f]{64})?$`)
	tagPattern     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	restartPattern = regexp.MustCompile(`^(no|always|unless-stopped|on-failure(:[1-9][0-9]{0,5})?)$`)
)

// registry is a prefix of images, with a slash at its end.
var registry = codec[string]{
	name: "host[:port][/path]",
	parse: func(text string) (string, error) {
		name := strings.TrimSuffix(text, "/")
		if !imagePattern.MatchString(name) || strings.Contains(name, "@") || strings.Contains(name, "//") {
			return "", errors.New("must be a registry such as registry.example.com:5000 or registry.example.com/team, without a scheme")
		}
		return name + "/", nil
	},
	format: plain,
}

var image = codec[string]{
	name:   "image",
	parse:  matching(imagePattern, "must be the name of an image, such as registry.example.com/panteras:1.2"),
	format: plain,
}

var imageTag = codec[string]{
	name:   "tag",
	parse:  matching(tagPattern, "must be a tag of an image: letters, digits, points, hyphens and underscores"),
	format: plain,
}

var dockerRestart = codec[string]{
	name:   "policy",
	parse:  matching(restartPattern, "must be no, always, unless-stopped, on-failure or on-failure:N"),
	format: plain,
}

// matching takes what has a pattern; want completes the sentence `NAME="text" …`.
func matching(pattern *regexp.Regexp, want string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !pattern.MatchString(text) {
			return "", errors.New(want)
		}
		return text, nil
	}
}
