package lockfsm

type loading struct{}

// Dirty calls fn with every record that changed since the last call, or since
// the machine was loaded or made: a put, or a deletion where value is nil.
func (m *Machine) Dirty(fn func(key, value []byte)) {}

// All calls fn with every record in ascending order of key.
func (m *Machine) All(fn func(key, value []byte)) {}

// Load adds one record.
func (m *Machine) Load(key, value []byte) error { return nil }

// Loaded ends loading.
func (m *Machine) Loaded() error { return nil }

// Digest hashes the logical content.
func (m *Machine) Digest() uint64 { return 0 }

// Validate walks everything.
func (m *Machine) Validate() error { return nil }
