package faulttest

import (
	"slices"
	"testing"
)

// wlockAPI is everything that WLock's client and its starter for Spring have, and the
// rows that say how ours has it. Where several of its overloads are one call here, they
// share rows.
func wlockAPI() map[string][]string {
	return map[string][]string{
		"WLockClient(hashKey, registryIp, registryPort)":          {"WLockClient(hashKey,registry)"},
		"WLockClient(confpath)":                                   {"WLockClient(confpath)"},
		"WLockClient.setDefaultTimeoutForReq":                     {"setDefaultTimeoutForReq"},
		"WLockClient.setDefaultRetries":                           {"setDefaultRetries"},
		"WLockClient.setAutoRenewThreadCount":                     {"setAutoRenewThreadCount"},
		"WLockClient.newDistributeLock(name)":                     {"newDistributeLock(name)"},
		"WLockClient.newDistributeLock(name, LockPolicy.Thread)":  {"newDistributeLock(LockPolicy)"},
		"WLockClient.newDistributeLock(name, LockPolicy.Process)": {"newDistributeLock(LockPolicy)"},
		"WLockClient.newReadWriteLock(name)": {"WReadLock.tryAcquireLock",
			"WReadLock.tryAcquireLock(behind a writer)", "WWriteLock.tryAcquireLock"},
		"WLockClient.newReadWriteLock(name, LockPolicy)": {"newReadWriteLock(LockPolicy)"},

		"fair lock":     {"fair lock", "tryAcquireLock(waits)"},
		"priority lock": {"tryAcquireLock(weight)"},

		"tryAcquireLock(expire, maxWait)": {"tryAcquireLock(expire,maxWait)",
			"tryAcquireLock(waits)", "LockOption.expireTime"},
		"tryAcquireLock(…, renewInterval)":      {"tryAcquireLock(renewInterval,RenewListener)"},
		"tryAcquireLock(…, LockExpireListener)": {"tryAcquireLock(LockExpireListener)"},
		"tryAcquireLock(…, weight, …)":          {"tryAcquireLock(weight)"},
		"tryAcquireLock(…, RenewListener, …)":   {"tryAcquireLock(renewInterval,RenewListener)"},
		"tryAcquireLock(…, HoldLockListener)":   {"tryAcquireLock(HoldLockListener)"},
		"tryAcquireLock(LockOption)":            {"tryAcquireLock(LockOption)"},
		"tryAcquireLockUnblocked(expire)":       {"tryAcquireLockUnblocked"},
		"tryAcquireLockUnblocked(expire, renewInterval, RenewListener, LockExpireListener)": {
			"tryAcquireLockUnblocked(renewInterval,RenewListener)",
			"tryAcquireLockUnblocked(LockExpireListener)"},
		"tryAcquireLockUnblocked(expire, HoldLockListener)": {"tryAcquireLock(HoldLockListener)"},
		"watchlock(version, WatchListener)":                 {"watchlock(version,listener)"},
		"watchlock(version, maxWait, WatchListener)":        {"watchlock(maxWait).onTimeout"},
		"watchlock(version, LockOption)":                    {"watchlock(version,listener)"},
		"watchAndWaitLock(version, expire, WatchListener)":  {"watchAndWaitLock(listener)"},
		"watchAndWaitLock(…, weight, maxWait, …)":           {"watchAndWaitLock(weight,maxWait)"},
		"continueWatchAndWaitLock(version, weight, maxWait, listener)": {
			"continueWatchAndWaitLock(listener)", "continueWatchAndWaitLock(maxWait)"},
		"continueWatchAndWaitLock(version, LockOption)": {"continueWatchAndWaitLock(listener)"},
		"unWatchLock":       {"unWatchLock"},
		"releaseLock()":     {"releaseLock"},
		"renewLock(expire)": {"renewLock(expire)"},
		"getLockState()":    {"getLockState"},

		"WReadLock.tryAcquireLock":           {"WReadLock.tryAcquireLock"},
		"WReadLock.tryAcquireLockUnblocked":  {"WReadLock.tryAcquireLockUnblocked"},
		"WReadLock.releaseLock":              {"WReadLock.releaseLock"},
		"WReadLock.renewLock":                {"WReadLock.renewLock"},
		"WReadLock.getLockState":             {"WReadLock.getLockState"},
		"WWriteLock.tryAcquireLock":          {"WWriteLock.tryAcquireLock"},
		"WWriteLock.tryAcquireLockUnblocked": {"WWriteLock.tryAcquireLockUnblocked"},
		"WWriteLock.releaseLock":             {"WWriteLock.releaseLock"},
		"WWriteLock.renewLock":               {"WWriteLock.renewLock"},
		"WWriteLock.getLockState":            {"WWriteLock.getLockState"},

		"LockResult.ret, SUCCESS":        {"releaseLock"},
		"LockResult.lockVersion":         {"LockResult.lockVersion"},
		"AcquireLockResult.owner":        {"AcquireLockResult.owner"},
		"TIMEOUT":                        {"setDefaultTimeoutForReq"},
		"ERROR":                          {"setDefaultRetries"},
		"LOCK_OCCUPIED":                  {"tryAcquireLockUnblocked"},
		"LOCK_DELETED":                   {"getLockState", "releaseLock"},
		"LOCK_CHANGED_OWNER":             {"releaseLock"},
		"TOKEN_ERROR":                    {"LockResult.TOKEN_ERROR"},
		"LockExpireListener.onExpire":    {"tryAcquireLock(LockExpireListener)"},
		"RenewListener.onRenewSuccess":   {"tryAcquireLock(renewInterval,RenewListener)"},
		"RenewListener.onRenewFailed":    {"RenewListener.onRenewFailed"},
		"WatchListener.onLockChange":     {"watchlock(version,listener)"},
		"WatchListener.onLockReleased":   {"watchlock(version,listener)"},
		"WatchListener.onLockAcquired":   {"watchAndWaitLock(listener)"},
		"WatchListener.onTimeout":        {"watchlock(maxWait).onTimeout"},
		"HoldLockListener.onOwnerChange": {"tryAcquireLock(HoldLockListener)"},
		"EventType.LOCK_ACQUIRED":        {"watchlock(version,listener)"},
		"EventType.LOCK_UPDATE":          {"EventType.LOCK_UPDATE"},
		"EventType.LOCK_RELEASE":         {"watchlock(version,listener)"},
		"EventType.LOCK_EXPIRED":         {"watchlock(version,listener)"},
		"EventType.READ_LOCK_EXPIRED":    {"EventType.READ_LOCK_EXPIRED"},
		"EventType.WRITE_LOCK_EXPIRED":   {"EventType.WRITE_LOCK_EXPIRED"},
		"@LockClient":                    {"WLockClient(confpath)"},
		"@Lock":                          {"@Lock"},
		"@ReadLock, @WriteLock":          {"@ReadLock,@WriteLock"},
		"@ReadWriteLock":                 {"WWriteLock.tryAcquireLock"},
		"@MultiLock":                     {"@MultiLock"},
		"@LockKey, LockKeyGenerator":     {"newDistributeLock(name)"},
		"AcquireLockFailException":       {"AcquireLockFailException"},
	}
}

// parityRows are the rows of TestWLockParity.
func parityRows() []parity {
	return slices.Concat(clientRows(), lockRows(), overloadRows(), readWriteRows(),
		readWriteCalls(), watchRows(), resultRows(), annotationRows())
}

// TestWLockParityIsWhole proves that nothing of WLock's API is without a row, and that
// every row is of something.
func TestWLockParityIsWhole(t *testing.T) {
	of := map[string]bool{}
	for _, row := range parityRows() {
		if _, twice := of[row.method]; twice {
			t.Errorf("there are two rows %s", row.method)
		}
		of[row.method] = false
	}
	for name, rows := range wlockAPI() {
		if len(rows) == 0 {
			t.Errorf("%s has no row", name)
		}
		for _, row := range rows {
			if _, there := of[row]; !there {
				t.Errorf("%s: there is no row %s", name, row)
			}
			of[row] = true
		}
	}
	for row, named := range of {
		if !named {
			t.Errorf("row %s is of nothing", row)
		}
	}
}
