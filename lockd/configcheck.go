package main

import (
	"flag"
	"fmt"

	"lockd/lockd/admin"
	"lockd/lockd/config"
)

func configCheckVerb() verb {
	return verb{
		name:  "config check",
		args:  "FILE",
		brief: "check a configuration file and print what would be in force",
		help: `
Reads the file as serve would, with the environment and the same flags over it,
and prints the result as a file, with the memory and the disk that its bounds add
up to for the nodes in its list. All problems are reported, those of the file with
their lines and in their order, and the exit code is 2.`,
		begin: func(flags *flag.FlagSet) action {
			given := settingFlags(flags)
			var out format
			out.declareFor(flags, "toml", "as a file")
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "FILE"); err != nil {
					return err
				}
				c, err := loadConfig(sh, args[0], *given)
				if err != nil {
					return err
				}
				o := c.NodeOptions()
				if err := o.Validate(); err != nil {
					return &failure{code: exitUsage, err: err}
				}
				if _, err := c.LinkOptions(); err != nil {
					return &failure{code: exitUsage, err: err}
				}
				text := c.AppendMemory(c.AppendTOML(nil))
				if out == "json" {
					text = admin.AppendSettled(nil, inForce(&c))
				}
				_, err = sh.out.Write(text)
				return err
			}
		},
	}
}

// inForce is a configuration as JSON has it.
func inForce(c *config.Config) *admin.Settled {
	s := &admin.Settled{}
	for _, v := range c.Values() {
		s.Settings = append(s.Settings, admin.SettingValue{Key: v.Key, Value: v.Text})
	}
	for _, n := range c.Nodes {
		s.Nodes = append(s.Nodes, admin.NodeAddresses{Node: uint16(n.ID), Client: n.Client,
			Peer: n.Peer})
	}
	s.Memory.More, s.Disk.More = c.More()
	for _, p := range c.Memory() {
		s.Memory.Parts = append(s.Memory.Parts, admin.BoundPart(p))
	}
	for _, p := range c.Disk() {
		s.Disk.Parts = append(s.Disk.Parts, admin.BoundPart(p))
	}
	return s
}

// settingFlags declares one flag per setting and collects what is given.
func settingFlags(flags *flag.FlagSet) *[]config.Given {
	given := new([]config.Given)
	for _, s := range config.Settings() {
		usage := s.Usage + "; " + s.Allowed
		if s.Default != "" && s.Default != "0" {
			usage += "; default " + s.Default
		}
		flags.Func(s.Flag, usage+" ("+s.Key+")", func(value string) error {
			*given = append(*given, config.Given{Flag: s.Flag, Value: value})
			return nil
		})
	}
	return given
}

// loadConfig merges file, environment and flags, and prints warnings.
func loadConfig(sh *shell, file string, given []config.Given) (config.Config, error) {
	c, warnings, err := config.Load(config.Sources{File: file, Env: sh.env, Flags: given})
	for _, text := range warnings {
		fmt.Fprintf(sh.err, "lockd: %s\n", text)
	}
	if err != nil {
		return c, &failure{code: exitUsage, err: fmt.Errorf("configuration:\n%w", err)}
	}
	return c, nil
}
