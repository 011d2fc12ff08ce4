package client

import (
	"fmt"

	"lockd/netio/wire"
)

// appendQuestion appends a call that changes no lock.
func (c *Core) appendQuestion(dst []byte, h wire.Header, x *Call, name []byte) []byte {
	switch x.Kind {
	case wire.KindGet:
		return wire.AppendGet(dst, h, &wire.Get{Name: name})
	case wire.KindList:
		return wire.AppendList(dst, h, &wire.List{
			Limit: x.Limit, Prefix: name, After: []byte(x.After),
		})
	case wire.KindCheckTokens:
		return c.appendChecks(dst, h, x)
	case wire.KindFindSession:
		return wire.AppendFindSession(dst, h, &x.Find)
	case wire.KindChase:
		return wire.AppendChase(dst, h, &wire.Chase{Scope: wire.ChaseGroup, After: x.Skip,
			Flows: x.Flows})
	case wire.KindWatch:
		return x.appendWatch(dst, h, name)
	case wire.KindUnwatch:
		return wire.AppendUnwatch(dst, h, &wire.Unwatch{Target: x.target})
	case wire.KindWhy:
		return wire.AppendWhy(dst, h, &wire.Why{Mode: x.Mode, Name: name})
	default:
		panic(fmt.Sprintf("client: cannot send %s", x.Kind))
	}
}
