package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

// configurationFile is rendered into memory by the credentials agent.
const configurationFile = "/etc/reference/configuration.json"

const authorityFile = "/etc/tenantry/ca/ca.pem"

type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type databaseServer struct {
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Schema string `json:"schema"`
	Login  login  `json:"login"`
}

// broker is absent where the plan keeps messages in the database.
type broker struct {
	Host  string `json:"host"`
	Port  int    `json:"port"`
	Vhost string `json:"vhost"`
	Login login  `json:"login"`
}

type configuration struct {
	Database databaseServer `json:"database"`
	Broker   *broker        `json:"broker"`
}

func readConfiguration() (configuration, error) {
	var result configuration
	content, err := os.ReadFile(configurationFile)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(content, &result); err != nil {
		// The error of the parser could quote what it read.
		return result, fmt.Errorf("%s is not what the program expects", configurationFile)
	}
	return result, nil
}

// trust verifies servers by the cell's authority, or by the system's where the cell names none.
func trust(host string) (*tls.Config, error) {
	result := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	content, err := os.ReadFile(authorityFile)
	if os.IsNotExist(err) {
		return result, nil
	} else if err != nil {
		return nil, err
	}
	result.RootCAs = x509.NewCertPool()
	if !result.RootCAs.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate", authorityFile)
	}
	return result, nil
}

func (server databaseServer) open() (*sql.DB, error) {
	secure, err := trust(server.Host)
	if err != nil {
		return nil, err
	}
	settings := mysql.NewConfig()
	settings.Net = "tcp"
	settings.Addr = fmt.Sprintf("%s:%d", server.Host, server.Port)
	settings.DBName = server.Schema
	settings.User, settings.Passwd = server.Login.Username, server.Login.Password
	settings.TLS = secure
	settings.ParseTime = true
	settings.Timeout, settings.ReadTimeout, settings.WriteTimeout = 5*time.Second, 20*time.Second, 20*time.Second
	connector, err := mysql.NewConnector(settings)
	if err != nil {
		return nil, err
	}
	database := sql.OpenDB(connector)
	// As many as the catalogue counts for one replica.
	database.SetMaxOpenConns(2)
	database.SetConnMaxLifetime(5 * time.Minute)
	return database, nil
}
