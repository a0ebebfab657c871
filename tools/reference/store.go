package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"
)

// store is the tenant's schema.
type store struct{ *sql.DB }

// counts tell what became of the messages. Every message is queued once; Duplicates were sent more than once; Waiting
// have not been sent yet.
type counts struct {
	Queued     int `json:"queued"`
	Sent       int `json:"sent"`
	Waiting    int `json:"waiting"`
	Duplicates int `json:"duplicates"`
}

func (s *store) counts(ctx context.Context) (result counts, err error) {
	err = s.QueryRowContext(ctx, `SELECT
		(SELECT COUNT(*) FROM message),
		(SELECT COUNT(*) FROM sent),
		(SELECT COUNT(*) FROM message m WHERE NOT EXISTS (SELECT 1 FROM sent s WHERE s.token = m.token)),
		(SELECT COUNT(*) FROM (SELECT token FROM sent GROUP BY token HAVING COUNT(*) > 1) d)`,
	).Scan(&result.Queued, &result.Sent, &result.Waiting, &result.Duplicates)
	return result, err
}

// add puts one message into the schema, not yet published.
func (s *store) add(ctx context.Context, body string) (string, error) {
	random := make([]byte, 16)
	rand.Read(random)
	token := hex.EncodeToString(random)
	_, err := s.ExecContext(ctx, "INSERT INTO message (token, body) VALUES (?, ?)", token, body)
	return token, err
}

// unpublished are messages whose publisher died before the broker had confirmed them.
func (s *store) unpublished(ctx context.Context, age time.Duration) ([]string, error) {
	return s.tokens(ctx, `SELECT token FROM message WHERE published_at IS NULL
		AND queued_at < NOW(3) - INTERVAL ? SECOND ORDER BY queued_at LIMIT 1000`, int(age.Seconds()))
}

// waiting are published messages that have not been sent: the queue, where the plan has no broker.
func (s *store) waiting(ctx context.Context, limit int) ([]string, error) {
	return s.tokens(ctx, `SELECT token FROM message m WHERE published_at IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM sent s WHERE s.token = m.token) ORDER BY queued_at LIMIT ?`, limit)
}

func (s *store) tokens(ctx context.Context, query string, arguments ...any) ([]string, error) {
	rows, err := s.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var result []string
	for rows.Next() {
		var token string
		if err := rows.Scan(&token); err != nil {
			return nil, err
		}
		result = append(result, token)
	}
	return result, rows.Err()
}

func (s *store) published(ctx context.Context, token string) error {
	_, err := s.ExecContext(ctx, "UPDATE message SET published_at = NOW(3) WHERE token = ?", token)
	return err
}

// send sends a message unless it has been sent: a broker hands one out again whose worker died before it said that it
// was done. Sending takes a while, during which the message is locked. It tells whether it was sent now.
func (s *store) send(ctx context.Context, token, release, pod string, effort time.Duration) (bool, error) {
	transaction, err := s.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer transaction.Rollback()
	var before int
	err = transaction.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM sent s WHERE s.token = m.token)
		FROM message m WHERE token = ? FOR UPDATE`, token).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && before > 0) {
		// Unknown to this schema: it was restored to a moment before the message was written.
		return false, nil
	} else if err != nil {
		return false, err
	}
	time.Sleep(effort)
	if _, err := transaction.ExecContext(
		ctx, "INSERT INTO sent (token, app_release, pod) VALUES (?, ?, ?)", token, release, pod,
	); err != nil {
		return false, err
	}
	return true, transaction.Commit()
}
