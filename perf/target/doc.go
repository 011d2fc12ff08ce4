// Package target knows the lock services that are measured: how each is
// started, what it promises of durability, and how one client process of it
// takes and gives up a lock. It is the one place that imports their clients.
//
//	name           servers                          client
//	lockd          3 lockd, synced by a majority    lockd/client, one conn per node
//	redis          1 redis-server, in memory        rueidis, pipelines by itself
//	redis-go       1 redis-server, in memory        go-redis, pool of conns
//	redis-mux      1 redis-server, in memory        our own, one conn for all
//	redis-aof      1 redis-server, synced           our own, one conn for all
//	redis-wait     3 redis-server, synced, WAIT 1   rueidis
//	redlock        3 redis-server, in memory        redsync over go-redis
//	etcd           3 etcd, synced by a majority     its concurrency.Mutex
//	etcd-raw       the same                         put if absent, delete if equal
//	zookeeper      3 ZooKeeper, by a majority       sequential nodes, by the recipe
//	zookeeper-raw  the same                         one ephemeral node a lock
//	echo           1 process that sends back        our own, 64-byte frames
//	fsync          none: a file                     record and sync, many at once
//	fsync-3        none: three files                the same, two of three synced
//
// A Redis lock is SET NX PX with a value of the caller's own, and a script, by
// EVALSHA, that deletes the key only if it still holds that value. A waiting
// caller asks again after 50 to 250 ms, evenly spread, as redsync does; so does
// redlock. Who waits for an etcd-raw or zookeeper-raw lock watches the key, and
// all who do wake together.
//
// What is generous to the others: a fresh key of ZooKeeper's recipe finds its
// lasting node there already, and etcd's mutexes find their sessions, after the
// first of each. Keys that one caller has to itself share a session.
package target
