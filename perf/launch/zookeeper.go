package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	getZooKeeper = "Debian: apt-get install zookeeper; or name its jar, or the directory of an " +
		"unpacked release, with --zookeeper"
	getJava = "Debian: apt-get install default-jre-headless"
	// zooKeeperJar is where Debian puts it; the jar names those it needs.
	zooKeeperJar = "/usr/share/java/zookeeper.jar"
)

// ZooKeeper starts three ZooKeeper processes with the settings its manual
// starts with: a tick of 2 s, every change synced (forceSync) before an answer.
type ZooKeeper struct {
	// Path is a jar or the directory of an unpacked release; "" means Debian's.
	Path string
}

// programs finds java and the class path.
func (z ZooKeeper) programs() (java, classes string, err error) {
	if java, err = lookUp("", "java", getJava); err != nil {
		return "", "", err
	}
	classes = z.Path
	if classes == "" {
		classes = zooKeeperJar
	}
	info, err := os.Stat(classes)
	if err != nil {
		return "", "", fmt.Errorf("%w: ZooKeeper is not at %s; %s", ErrMissing, classes, getZooKeeper)
	}
	if info.IsDir() {
		classes = filepath.Join(classes, "lib", "*")
	}
	return java, classes, nil
}

// Version implements Launcher.
func (z ZooKeeper) Version(ctx context.Context) (string, error) {
	java, classes, err := z.programs()
	if err != nil {
		return "", err
	}
	text, err := output(ctx, java, "-cp", classes, "org.apache.zookeeper.Version")
	version, _, _ := strings.Cut(text, "-")
	return "ZooKeeper " + version, err
}

// Start implements Launcher.
func (z ZooKeeper) Start(ctx context.Context, dir string) (*Cluster, error) {
	java, classes, err := z.programs()
	if err != nil {
		return nil, err
	}
	const n = 3
	c := new(Cluster)
	addresses, err := c.ports.Addresses(3 * n)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.Addresses = addresses[:n]
	var everyone strings.Builder
	for i := range n {
		_, election, _ := strings.Cut(addresses[2*n+i], ":")
		fmt.Fprintf(&everyone, "server.%d=%s:%s\n", i+1, addresses[n+i], election)
	}
	var commands []Command
	for i, address := range c.Addresses {
		name := fmt.Sprintf("zookeeper-%d", i+1)
		own, err := subdir(dir, name)
		if err == nil {
			err = zooKeeperFiles(own, i+1, address, everyone.String())
		}
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		commands = append(commands, Command{
			Name: name, Path: java, Dir: own, Ready: zooKeeperReady(address),
			Args: []string{"-Xmx1g", "-cp", classes,
				"org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(own, "zoo.cfg")},
		})
	}
	return c, startTogether(ctx, c, commands)
}

// zooKeeperFiles writes what a process reads when it starts. The limit of conns
// from one address is lifted: here all come from one.
func zooKeeperFiles(own string, id int, address, everyone string) error {
	_, port, _ := strings.Cut(address, ":")
	settings := fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\n"+
		"clientPort=%s\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n"+
		"4lw.commands.whitelist=srvr\n%s", filepath.Join(own, "data"), port, everyone)
	if err := os.MkdirAll(filepath.Join(own, "data"), 0o755); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(own, "zoo.cfg"), []byte(settings), 0o644),
		os.WriteFile(filepath.Join(own, "data", "myid"), fmt.Appendln(nil, id), 0o644))
}

// zooKeeperReady asks a process whether it takes part in a cluster.
func zooKeeperReady(address string) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		dialer := net.Dialer{Timeout: time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("srvr")); err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(conn, tailBytes))
		if err == nil && !strings.Contains(string(text), "Mode: ") {
			err = errors.New("takes part in no cluster yet")
		}
		return err
	}
}
