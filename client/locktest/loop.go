package locktest

// accept takes conns for the life of the cluster, in a loop that ends with the
// listener. New starts it.
func (m *member) accept() {
	go func() {
		defer close(m.accepted)
		for {
			sock, err := m.listener.Accept()
			if err != nil {
				return
			}
			if k := m.admit(sock); k != nil {
				k.serve()
			}
		}
	}()
}

// serve runs the reader of a conn, which ends with the conn, and its writer.
func (k *conn) serve() {
	go func() {
		defer close(k.done)
		written := make(chan struct{})
		go func() {
			defer close(written)
			k.write()
		}()
		k.read()
		k.close()
		<-written
		k.life.lock.Lock()
		delete(k.life.lock.conns, k.id)
		dead := k.life.lock.dead
		k.life.lock.Unlock()
		if !dead {
			k.life.inbox.ConnClosed(k.id)
		}
	}()
}

// write is the writer: it is woken by flush and ends with the conn.
func (k *conn) write() {
	for {
		select {
		case <-k.wake:
		case <-k.quit:
			return
		}
		if !k.writeAll() {
			k.close()
			return
		}
	}
}

// start runs the two lanes, each in a loop that frames wake and cut ends.
func (k *link) start() {
	for i := range k.lanes {
		k.done.Add(1)
		go func() {
			defer k.done.Done()
			for {
				select {
				case <-k.lanes[i].wake:
					k.carry(i)
				case <-k.quit:
					return
				}
			}
		}()
	}
}
