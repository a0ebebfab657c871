package main

import (
	"context"
	"errors"
	"log"
	"os"
	"strconv"
	"time"
)

// work sends messages until it is told to end; the message in hand is finished first.
func (app *application) work(ctx context.Context) error {
	pod, _ := os.Hostname()
	effort := 50 * time.Millisecond
	if text := os.Getenv("REFERENCE_WORK_MS"); text != "" {
		milliseconds, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("REFERENCE_WORK_MS is not a number")
		}
		effort = time.Duration(milliseconds) * time.Millisecond
	}
	queue, err := app.configuration.Broker.open()
	if err != nil {
		return err
	}
	defer queue.close()
	ending, cancel := context.WithCancelCause(ctx)
	go func() { cancel(app.serveHealth(ctx)) }()
	// What has been begun is finished, whoever asks to end.
	send := func(token string) error {
		now, err := app.store.send(context.WithoutCancel(ctx), token, app.release.name, pod, effort)
		if err == nil && !now {
			log.Printf("message %s had been sent before", token)
		}
		return err
	}
	if queue.channel == nil {
		err = app.workOffTable(ending, send)
	} else {
		err = workOffQueue(ending, queue, send)
	}
	if cause := context.Cause(ending); err == nil && ctx.Err() == nil && cause != nil {
		err = cause
	}
	return err
}

func workOffQueue(ctx context.Context, queue *queue, send func(string) error) error {
	messages, err := queue.take()
	if err != nil {
		return err
	}
	for {
		// Asked to end, it takes no other even when one is at hand.
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case message, open := <-messages:
			if !open {
				return errors.New("the broker has closed the connection")
			}
			if err := send(message.MessageId); err != nil {
				message.Nack(false, true)
				return err
			}
			if err := message.Ack(false); err != nil {
				return err
			}
		}
	}
}

func (app *application) workOffTable(ctx context.Context, send func(string) error) error {
	for ctx.Err() == nil {
		tokens, err := app.store.waiting(ctx, 20)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for _, token := range tokens {
			if ctx.Err() != nil {
				return nil
			}
			if err := send(token); err != nil {
				return err
			}
		}
		if len(tokens) == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// schedule queues `count` messages, and publishes those whose publisher died before it could.
func (app *application) schedule(ctx context.Context, count string) error {
	number, err := strconv.Atoi(count)
	if err != nil || number < 0 {
		return errors.New(usage)
	}
	queue, err := app.configuration.Broker.open()
	if err != nil {
		return err
	}
	defer queue.close()
	left, err := app.store.unpublished(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	for _, token := range left {
		if err := app.publish(ctx, queue, token); err != nil {
			return err
		}
	}
	if err := app.queueUp(ctx, queue, number); err != nil {
		return err
	}
	log.Printf("queued %d messages, published %d that were left", number, len(left))
	return nil
}

func (app *application) queueUp(ctx context.Context, queue *queue, number int) error {
	for range number {
		token, err := app.store.add(ctx, "hello")
		if err != nil {
			return err
		}
		if err := app.publish(ctx, queue, token); err != nil {
			return err
		}
	}
	return nil
}

func (app *application) publish(ctx context.Context, queue *queue, token string) error {
	if err := queue.publish(ctx, token); err != nil {
		return err
	}
	return app.store.published(ctx, token)
}
