package main

import (
	"flag"
	"fmt"
	"runtime"

	"lockd/netio/wire"
)

func versionVerb() verb {
	return verb{
		name:  "version",
		brief: "print the version and what it speaks",
		begin: func(*flag.FlagSet) action {
			return func(sh *shell, args []string) error {
				if err := needArgs(args); err != nil {
					return err
				}
				return printVersion(sh)
			}
		},
	}
}

func printVersion(sh *shell) error {
	_, err := fmt.Fprintf(sh.out, "lockd %s (%s, %s/%s; client protocol %d, peer protocol %d)\n",
		version, runtime.Version(), runtime.GOOS, runtime.GOARCH, wire.Version, wire.PeerVersion)
	return err
}
