package launch

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrMissing means that the program of a service is not there. The error that
// wraps it says what was looked for and how to get it.
var ErrMissing = errors.New("launch: program missing")

// lookUp finds a program: at the path, if one is given, or by its name on PATH.
// get says how to get it.
func lookUp(path, name, get string) (string, error) {
	if path == "" {
		path = name
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not there or not on PATH; %s", ErrMissing, path, get)
	}
	return found, nil
}

// output runs a program that prints something about itself and ends.
func output(ctx context.Context, path string, args ...string) (string, error) {
	text, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("launch: %s %s: %w: %s", path, strings.Join(args, " "), err,
			strings.TrimSpace(string(text)))
	}
	return string(text), nil
}

// after returns the word that follows a text, without a comma at its end.
func after(text, before string) string {
	_, rest, _ := strings.Cut(text, before)
	word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	word, _, _ = strings.Cut(word, "\n")
	return strings.TrimSuffix(word, ",")
}
