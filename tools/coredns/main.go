// coredns answers for the names of Services in the pods of a local cell's real node. It is CoreDNS with the few plugins
// that this takes; https://coredns.io/2017/07/25/compile-time-enabling-or-disabling-plugins/ tells how that is done.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	// In the order in which CoreDNS itself asks them.
	dnsserver.Directives = []string{"bind", "ready", "errors", "acl", "kubernetes", "forward"}
	coremain.Run()
}
