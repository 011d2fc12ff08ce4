// Package config turns a TOML file, the environment and flags into the option
// structs of the packages that make up a node.
//
// Every setting has one key in the file, one flag and one environment variable;
// settings.go is the list of them. A flag wins over the environment, the
// environment over the file, the file over the default. Nothing is ignored: an
// unknown key, a value of the wrong kind or out of range, and settings that
// contradict each other are errors that name the place and what is allowed, and
// all of them are reported at once.
//
// The file has two tables. [cluster] holds what must be equal on all nodes, and
// nodes that differ in it refuse each other; [node] holds what is this node's
// own business, but for node.window, which must be equal too. Durations
// ("200ms") become ticks and nanoseconds here and nowhere else. A secret never
// stands in the file: a key that ends in _file names where it is.
//
// The package reads files and decides; it keeps no state.
package config
