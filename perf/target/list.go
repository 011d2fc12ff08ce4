package target

import (
	"slices"

	"lockd/perf/launch"
)

// Names lists all targets.
func Names() []string {
	var names []string
	for _, t := range list(Programs{}) {
		names = append(names, t.Name)
	}
	return names
}

// list is every target there is.
func list(p Programs) []Target {
	lockd := Target{
		Name:       "lockd",
		Durability: "synced (fdatasync) by a majority of 3 nodes",
		Client:     "lockd",
		Flags:      p.LockdFlags,
		Launcher:   launch.Lockd{Path: p.Lockd, Flags: p.LockdFlags},
		Open:       openLockd,
		Survives:   true, Keeps: true, Queues: true, Sessions: true, Carries: true,
	}
	one := lockd
	one.Name = "lockd-one"
	one.Durability += "; all locks in one group, so one node leads and the others follow"
	// A snapshot is as large as a group may be, and a node makes room for one.
	one.Flags = append(slices.Clone(p.LockdFlags), "--groups", "1", "--memory", "16GiB")
	one.Launcher = launch.Lockd{Path: p.Lockd, Flags: one.Flags}
	floors := []Target{
		{
			Name:       "echo",
			Durability: "no service: two round trips of 64 bytes, the floor of any",
			Launcher:   launch.Echo{Path: p.Echo, Args: p.EchoArgs},
			Open:       openEcho,
		},
		{
			Name: "fsync",
			Durability: "no service: two records, each synced with all that wait; the floor " +
				"of any on one node that syncs",
			Launcher: launch.Directory{},
			Open:     openDisk,
		},
		{
			Name: "fsync-3",
			Durability: "no service: two records, each synced by two of three writers on one " +
				"disk; the floor of three nodes here",
			Launcher: launch.Directory{},
			Open:     openDiskOfThree,
		},
	}
	return slices.Concat([]Target{lockd, one}, listRedis(p), listReplicated(p), floors)
}

// listRedis is Redis in its shapes. Its clients poll, so nobody stands in a
// queue, and a lock is a key that runs out by itself, so there are no sessions.
func listRedis(p Programs) []Target {
	const (
		memory  = "nothing: in memory on one node"
		goRedis = "github.com/redis/go-redis/v9"
		rueidis = "github.com/redis/rueidis"
	)
	one := launch.Redis{Path: p.Redis}
	return []Target{
		{Name: "redis", Durability: memory, Client: rueidis, Launcher: one, Open: openRueidis},
		{Name: "redis-go", Durability: memory, Client: goRedis, Launcher: one, Open: openGoRedis},
		{Name: "redis-mux", Durability: memory, Launcher: one, Open: openRedisMux},
		{
			Name:       "redis-aof",
			Durability: "synced (appendfsync always) on one node; lost with its disk",
			Launcher:   launch.Redis{Path: p.Redis, Sync: true},
			Open:       openRedisMux,
			Keeps:      true,
		},
		{
			Name: "redis-wait",
			Durability: "synced (appendfsync always) on one node, received but perhaps not synced " +
				"by one of two copies (WAIT 1); nothing fails over by itself",
			Client:   rueidis,
			Launcher: launch.Redis{Path: p.Redis, Sync: true, Replicas: 2},
			Open:     openRueidisWait,
			Keeps:    true,
		},
		{
			Name: "redlock",
			Durability: "in memory of a majority of 3 nodes; a node that restarts has forgotten " +
				"its locks and grants them again",
			Client:   "github.com/go-redsync/redsync/v4",
			Launcher: launch.Redis{Path: p.Redis, Alone: 3},
			Open:     openRedlock,
			Survives: true,
		},
	}
}

// listReplicated is the other services that sync by a majority.
func listReplicated(p Programs) []Target {
	const (
		etcd      = "go.etcd.io/etcd/client/v3"
		zooKeeper = "github.com/go-zookeeper/zk"
		synced    = "synced (fsync) by a majority of 3 nodes"
	)
	all := []Target{
		{
			Name: "etcd", Durability: synced, Client: etcd,
			Launcher: launch.Etcd{Path: p.Etcd}, Open: openEtcd, Queues: true,
		},
		{
			Name: "etcd-raw", Durability: synced, Client: etcd,
			Launcher: launch.Etcd{Path: p.Etcd}, Open: openEtcdKeys,
		},
		{
			Name: "zookeeper", Durability: synced, Client: zooKeeper,
			Launcher: launch.ZooKeeper{Path: p.ZooKeeper}, Open: openZooKeeper, Queues: true,
		},
		{
			Name: "zookeeper-raw", Durability: synced, Client: zooKeeper,
			Launcher: launch.ZooKeeper{Path: p.ZooKeeper}, Open: openZooKeeperNodes,
		},
	}
	for i := range all {
		all[i].Survives, all[i].Keeps, all[i].Sessions = true, true, true
	}
	return all
}
