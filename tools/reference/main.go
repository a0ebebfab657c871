// Command reference is Tenantry's reference workload: a small application on MariaDB and RabbitMQ that sends messages
// and counts every one, so that releases, drains, restores and kills can be judged by what they did to them.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = "usage: reference migrate | web | files | worker | schedule COUNT"

// releaseFile is put into the image beside the program: all releases are one program, which asks it what it is.
const releaseFile = "/etc/reference/release"

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	context, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(context, os.Args[1:]); err != nil {
		log.Printf("ended: %v", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New(usage)
	}
	release, err := readRelease()
	if err != nil {
		return err
	}
	configuration, err := readConfiguration()
	if err != nil {
		return err
	}
	database, err := configuration.Database.open()
	if err != nil {
		return err
	}
	defer database.Close()
	log.Printf("%s, release %s, needs schema version %d", arguments[0], release.name, release.schema)
	app := &application{release: release, store: &store{database}, configuration: configuration}
	switch {
	case arguments[0] == "migrate":
		return migrate(ctx, database, release)
	case arguments[0] == "web":
		return app.serve(ctx)
	case arguments[0] == "files":
		return app.serveFiles(ctx)
	case arguments[0] == "worker":
		return app.work(ctx)
	case arguments[0] == "schedule" && len(arguments) == 2:
		return app.schedule(ctx, arguments[1])
	}
	return fmt.Errorf("%s: %s", strings.Join(arguments, " "), usage)
}

// application is what web, worker and schedule share.
type application struct {
	release       release
	store         *store
	configuration configuration
}
