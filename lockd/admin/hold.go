package admin

import (
	"time"

	"github.com/valyala/fastjson"

	"lockd/client"
)

// AppendHold appends a detached hold, and until when nobody else can be granted its
// lock.
func AppendHold(dst []byte, d client.DetachedHold, until time.Time) []byte {
	o := newObject(new(fastjson.Arena))
	o.name("name", d.Name)
	o.number("token", d.Token)
	o.number("session", d.Session)
	o.text("until", until.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano))
	return o.end(dst)
}
