// Package sqltest proves package fence on real databases: SQLite, which comes as a
// Go module, and PostgreSQL, if there is one. It is a module of its own, so that
// nobody who uses the client or lockd depends on a database.
//
// PostgreSQL is found by LOCKD_POSTGRES, a URL like
// postgres://user:password@127.0.0.1:5432/database?sslmode=disable, or started
// by the test itself if its programs are there (Debian: apt-get install
// postgresql). Otherwise its tests are skipped, and say so.
package sqltest
