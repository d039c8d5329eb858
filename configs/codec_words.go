package configs

import (
	"errors"
	"regexp"
	"strings"
)

// words are arguments of a program, separated by blanks. Quotes and backslashes
// mean what they mean in the shell; everything else, such as $ and brackets, is
// taken literally.
var words = codec[[]string]{name: "arguments", parse: splitWords, format: joinWords}

func splitWords(text string) ([]string, error) {
	var list []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == 0:
			return nil, errors.New("must not hold a NUL byte")
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case c == '\\':
			if i++; i == len(text) {
				return nil, errors.New("must not end with a backslash")
			}
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(text[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(text[i])
			inWord = true
		case strings.IndexByte(" \t\r\n", c) >= 0:
			if inWord {
				list = append(list, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("must close every quote that it opens")
	}
	if inWord {
		list = append(list, word.String())
	}
	return list, nil
}

// plainWord is a word that means itself to the shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

func joinWords(list []string) string {
	texts := make([]string, len(list))
	for i, word := range list {
		texts[i] = QuoteWord(word)
	}
	return strings.Join(texts, " ")
}

// QuoteWord writes a word so that the shell reads it as it is.
func QuoteWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// secretFlag is a flag of some program whose value is a secret; a flag that names
// a file is not.
const secretFlag = `-{1,2}[\w.-]*(?i:encrypt|token|password|secret)`

var (
	secretFlagText = regexp.MustCompile(`(` + secretFlag + `)(=|\s+)('[^']*'|"[^"]*"|[^\s'"]+)`)
	secretFlagWord = regexp.MustCompile(`^(` + secretFlag + `)(=|$)`)
)

// MaskWords hides the values of arguments that are secrets by their name.
func MaskWords(list []string) []string {
	shown := make([]string, len(list))
	next := false
	for i, word := range list {
		shown[i] = word
		flag := secretFlagWord.FindStringSubmatch(word)
		switch {
		case flag != nil && flag[2] == "=":
			shown[i] = flag[1] + "=" + Masked
		case next && flag == nil:
			shown[i] = Masked
		}
		next = flag != nil && flag[2] == ""
	}
	return shown
}
