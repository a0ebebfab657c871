package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const queueName = "messages"

// queue hands published messages to workers. Without a broker the schema itself is the queue, and a message that is
// published is in it.
type queue struct {
	connection *amqp.Connection
	channel    *amqp.Channel
}

func (b *broker) open() (*queue, error) {
	if b == nil {
		return &queue{}, nil
	}
	secure, err := trust(b.Host)
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("amqps://%s:%d/%s", b.Host, b.Port, url.PathEscape(b.Vhost))
	connection, err := amqp.DialConfig(address, amqp.Config{
		SASL:            []amqp.Authentication{&amqp.PlainAuth{Username: b.Login.Username, Password: b.Login.Password}},
		TLSClientConfig: secure,
		Heartbeat:       10 * time.Second,
		Dial:            amqp.DefaultDial(5 * time.Second),
	})
	if err != nil {
		return nil, err
	}
	result := &queue{connection: connection}
	if result.channel, err = connection.Channel(); err == nil {
		_, err = result.channel.QueueDeclare(queueName, true, false, false, false, nil)
	}
	if err == nil {
		err = result.channel.Confirm(false)
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	return result, nil
}

func (q *queue) close() {
	if q.connection != nil {
		q.connection.Close()
	}
}

// publish returns when the broker has the message on its disk.
func (q *queue) publish(ctx context.Context, token string) error {
	if q.channel == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	confirmation, err := q.channel.PublishWithDeferredConfirmWithContext(
		ctx, "", queueName, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, MessageId: token},
	)
	if err != nil {
		return err
	}
	done, err := confirmation.WaitContext(ctx)
	if err == nil && !done {
		err = errors.New("the broker refused the message")
	}
	return err
}

// take hands out messages one by one; each is to be acknowledged when it is done.
func (q *queue) take() (<-chan amqp.Delivery, error) {
	if err := q.channel.Qos(1, 0, false); err != nil {
		return nil, err
	}
	return q.channel.Consume(queueName, "worker", false, false, false, false, nil)
}
