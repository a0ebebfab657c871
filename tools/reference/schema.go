package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
)

// release is a version of the application and the schema version that it works with, or a newer one that only adds.
type release struct {
	name   string
	schema int
}

// releases and what each brings. 1.2-bad is broken on purpose: its migration renames a column that the older releases
// need and then fails, which leaves a schema that neither side can use.
var releases = []struct {
	name       string
	statements []string
}{
	{"1.0", []string{
		`CREATE TABLE message (
			token CHAR(32) CHARACTER SET ascii NOT NULL PRIMARY KEY,
			body VARCHAR(200) NOT NULL,
			queued_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
			published_at DATETIME(3) NULL,
			KEY by_publication (published_at, queued_at)
		)`,
		// One row each time that a message is sent: a message with two is a duplicate, one with none waits or is lost.
		`CREATE TABLE sent (
			id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
			token CHAR(32) CHARACTER SET ascii NOT NULL,
			app_release VARCHAR(40) NOT NULL,
			pod VARCHAR(100) NOT NULL,
			sent_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
			KEY by_token (token)
		)`,
	}},
	{"1.1", []string{`ALTER TABLE message ADD COLUMN IF NOT EXISTS campaign VARCHAR(40) NOT NULL DEFAULT ''`}},
	{"1.2-bad", []string{
		`ALTER TABLE message CHANGE COLUMN body content VARCHAR(200) NOT NULL`,
		`UPDATE no_such_table SET id = 0`,
	}},
}

func readRelease() (release, error) {
	content, err := os.ReadFile(releaseFile)
	if err != nil {
		return release{}, err
	}
	name := strings.TrimSpace(string(content))
	for index, one := range releases {
		if one.name == name {
			return release{name: name, schema: index + 1}, nil
		}
	}
	return release{}, fmt.Errorf("%s says %q, which is no release", releaseFile, name)
}

// migrate brings the schema to what the release needs, one version after the other; a schema that is newer already is
// left as it is. It holds a lock, so that two runs do not do the same twice.
func migrate(ctx context.Context, database *sql.DB, wanted release) error {
	connection, err := database.Conn(ctx)
	if err != nil {
		return err
	}
	defer connection.Close()
	var held sql.NullInt64
	if err := connection.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT(DATABASE(), '.migrate'), 15)").Scan(&held); err != nil {
		return err
	}
	if held.Int64 != 1 {
		return errors.New("another migration is at work")
	}
	if _, err := connection.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (
		version INT NOT NULL PRIMARY KEY,
		app_release VARCHAR(40) NOT NULL,
		applied_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
	)`); err != nil {
		return err
	}
	version, err := schemaVersion(ctx, connection)
	if err != nil {
		return err
	}
	for ; version < wanted.schema; version++ {
		step := releases[version]
		for _, statement := range step.statements {
			if _, err := connection.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("migration to schema version %d (release %s): %w", version+1, step.name, err)
			}
		}
		if _, err := connection.ExecContext(
			ctx, "INSERT INTO schema_version (version, app_release) VALUES (?, ?)", version+1, step.name,
		); err != nil {
			return err
		}
		log.Printf("schema is at version %d", version+1)
	}
	return nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

func schemaVersion(ctx context.Context, from querier) (version int, err error) {
	err = from.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM schema_version").Scan(&version)
	return version, err
}
