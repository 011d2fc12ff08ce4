package main

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"lockd/lockd/admin"
	"lockd/netio/wire"
)

func versionVerb() verb {
	return verb{
		name:  "version",
		brief: "print the version and what it speaks",
		begin: func(flags *flag.FlagSet) action {
			var out format
			out.declareFor(flags, "text", "a line")
			return func(sh *shell, args []string) error {
				if err := needArgs(args); err != nil {
					return err
				}
				if out != "json" {
					return printVersion(sh)
				}
				_, err := sh.out.Write(admin.AppendVersion(nil, &admin.Version{Build: build(),
					Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
					Client: wire.Version, Peer: wire.PeerVersion}))
				return err
			}
		},
	}
}

func printVersion(sh *shell) error {
	_, err := fmt.Fprintf(sh.out, "lockd %s (%s, %s/%s; client protocol %d, peer protocol %d)\n",
		build(), runtime.Version(), runtime.GOOS, runtime.GOARCH, wire.Version, wire.PeerVersion)
	return err
}

// build is the version of this binary: what the linker was told, else the commit that
// the go command noted.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if version != unknownVersion || !ok {
		return version
	}
	return commitOf(info.Settings)
}

// commitOf names the commit of a build as git describe does.
func commitOf(settings []debug.BuildSetting) string {
	commit, dirty := unknownVersion, ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 7)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if commit == unknownVersion {
		return commit
	}
	return commit + dirty
}
