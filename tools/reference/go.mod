// A small application that shows what Tenantry does to a workload: it sends messages and counts each of them.
module tenantry.dev/tools/reference

go 1.26.0

require (
	github.com/go-sql-driver/mysql v1.10.1
	github.com/rabbitmq/amqp091-go v1.16.0
)

require filippo.io/edwards25519 v1.2.0 // indirect
