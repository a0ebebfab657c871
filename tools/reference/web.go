package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"strconv"
	"time"
)

const (
	webAddress    = ":8080"
	healthAddress = ":8081"
	mostAtOnce    = 10000
	// uploads is where the volume of the files is mounted.
	uploads = "/files"
)

// serve answers until it is told to end; requests that it has begun with are finished first.
func (app *application) serve(ctx context.Context) error {
	paths := http.NewServeMux()
	paths.HandleFunc("GET /healthz", app.health)
	paths.HandleFunc("GET /smoke", app.smoke)
	paths.HandleFunc("GET /counts", app.showCounts)
	paths.HandleFunc("POST /messages", app.queueMessages)
	paths.HandleFunc("GET /unsubscribe", func(answer http.ResponseWriter, _ *http.Request) {
		reply(answer, http.StatusOK, map[string]any{"unsubscribed": true})
	})
	return listen(ctx, webAddress, paths)
}

// serveFiles shows what is in the volume that all of its replicas share.
func (app *application) serveFiles(ctx context.Context) error {
	paths := http.NewServeMux()
	paths.HandleFunc("GET /healthz", app.health)
	paths.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(uploads))))
	return listen(ctx, webAddress, paths)
}

// serveHealth is the worker's only answer to the outside.
func (app *application) serveHealth(ctx context.Context) error {
	paths := http.NewServeMux()
	paths.HandleFunc("GET /healthz", app.health)
	return listen(ctx, healthAddress, paths)
}

func listen(ctx context.Context, address string, paths http.Handler) error {
	server := &http.Server{Addr: address, Handler: paths, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		log.Print("ending")
		patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return server.Shutdown(patience)
	}
}

// health: the database answers, and its schema is new enough.
func (app *application) health(answer http.ResponseWriter, request *http.Request) {
	ctx, cancel := context.WithTimeout(request.Context(), 4*time.Second)
	defer cancel()
	if version, err := schemaVersion(ctx, app.store); err != nil {
		refuse(answer, err)
	} else if version < app.release.schema {
		refuse(answer, errors.New("the schema is too old"))
	} else {
		reply(answer, http.StatusOK, map[string]any{"status": "ok"})
	}
}

// smoke goes through everything that the application is for, and leaves nothing behind.
func (app *application) smoke(answer http.ResponseWriter, request *http.Request) {
	ctx, cancel := context.WithTimeout(request.Context(), 10*time.Second)
	defer cancel()
	version, err := schemaVersion(ctx, app.store)
	if err == nil {
		_, err = app.store.ExecContext(ctx, "SELECT token, body, published_at FROM message LIMIT 1")
	}
	if err == nil && version < app.release.schema {
		err = errors.New("the schema is too old")
	}
	if err == nil {
		var queue *queue
		if queue, err = app.configuration.Broker.open(); err == nil {
			queue.close()
		}
	}
	if err != nil {
		refuse(answer, err)
		return
	}
	reply(answer, http.StatusOK, map[string]any{"release": app.release.name, "schema": version})
}

func (app *application) showCounts(answer http.ResponseWriter, request *http.Request) {
	if counts, err := app.store.counts(request.Context()); err != nil {
		refuse(answer, err)
	} else {
		reply(answer, http.StatusOK, counts)
	}
}

func (app *application) queueMessages(answer http.ResponseWriter, request *http.Request) {
	number, err := strconv.Atoi(request.URL.Query().Get("count"))
	if err != nil || number < 1 || number > mostAtOnce {
		reply(answer, http.StatusBadRequest, map[string]any{"error": "count must be a number from 1 to 10000"})
		return
	}
	queue, err := app.configuration.Broker.open()
	if err == nil {
		defer queue.close()
		err = app.queueUp(request.Context(), queue, number)
	}
	if err != nil {
		refuse(answer, err)
		return
	}
	reply(answer, http.StatusAccepted, map[string]any{"queued": number})
}

// refuse says that it cannot be done now; the reason goes to the log.
func refuse(answer http.ResponseWriter, err error) {
	log.Print(err)
	reply(answer, http.StatusServiceUnavailable, map[string]any{"status": "unavailable"})
}

func reply(answer http.ResponseWriter, status int, content any) {
	answer.Header().Set("Content-Type", "application/json")
	answer.WriteHeader(status)
	json.NewEncoder(answer).Encode(content)
}
