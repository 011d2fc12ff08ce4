// Package admin serves what people and their tools want to know of one node,
// over HTTP, by default on loopback only: there is no password.
//
//	GET /metrics                        Prometheus text; names begin with lockd_
//	GET /healthz                        200 while the process runs and has not failed
//	GET /readyz                         200 when the node can serve, else 503 and why not
//	GET /v1/status                      the node as JSON
//	GET /v1/locks?prefix=&after=&limit= locks of the cluster by name, a page at a time
//	GET /v1/lock?name=                  holders and queue of one lock
//	GET /v1/why?name=                   what a request for one lock would wait for
//	GET /v1/top?limit=                  the names that are waited for most
//	GET /v1/history?name=&at=&from=&to=&limit= who held one lock
//	GET /v1/watch?name=&prefix=&from=&events=&for= what becomes of a lock, event by event
//	POST /v1/watch?name=&prefix=true    the same, with what is known in the body
//	POST /v1/cluster/{add,remove,replace} a change of the cluster's nodes
//	POST /v1/cluster/move               another node is to lead a group
//	POST /v1/cluster/drain              this node gives its leaderships away
//	    /debug/pprof/                   profiles of the process
//
// A POST that a browser sends on behalf of another site is refused, or to a name, which
// that site may have made to lead here.
//
// A node is ready when its cluster is born, every group it keeps has a known
// leader, its disk moves and it is not draining. An error of /v1 is {"error":
// text} with a status above 399.
//
// The package owns no state of the node: it reads pictures that the engine
// publishes, samples handed in by main, and asks for locks as any client does.
// The same JSON is what the command line prints with -o json.
package admin
