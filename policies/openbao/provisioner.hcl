# What the engine needs to make, check and remove tenants: the operator by its service account, people and the command
# line by a token of the token role of the same name. It never reads a tenant's generated secrets nor the
# password of a tenant's database account, and never uses a tenant's transit key.

# Tenants' keys: made, looked at, and destroyed at the end (deletion has to be allowed first).
path "${transit_mount}/keys/t-*" {
  capabilities = ["create", "update", "read", "delete"]
}

# The key of each tenant's state: made, used, and destroyed with the last that the state knew.
path "${transit_mount}/keys/state-*" {
  capabilities = ["create", "update", "read", "delete"]
}

path "${transit_mount}/encrypt/state-*" {
  capabilities = ["update"]
}

path "${transit_mount}/decrypt/state-*" {
  capabilities = ["update"]
}

path "${transit_mount}/datakey/plaintext/state-*" {
  capabilities = ["update"]
}

# But for the state of the cell itself, which an administrator's token alone opens.
path "${transit_mount}/keys/state-cell-${cell}" {
  capabilities = ["deny"]
}

path "${transit_mount}/encrypt/state-cell-${cell}" {
  capabilities = ["deny"]
}

path "${transit_mount}/decrypt/state-cell-${cell}" {
  capabilities = ["deny"]
}

path "${transit_mount}/datakey/plaintext/state-cell-${cell}" {
  capabilities = ["deny"]
}

# Secrets and logins of tenants: added to by name. Their values cannot be read, but for the three logins that it
# has to set in RabbitMQ, in Redis and (hashed) for the egress proxy as well.
path "${kv_mount}/data/tenants/*" {
  capabilities = ["create", "update", "patch"]
}

path "${kv_mount}/data/tenants/+/messaging" {
  capabilities = ["create", "update", "patch", "read"]
}

path "${kv_mount}/data/tenants/+/cache" {
  capabilities = ["create", "update", "patch", "read"]
}

path "${kv_mount}/data/tenants/+/egress" {
  capabilities = ["create", "update", "patch", "read"]
}

path "${kv_mount}/subkeys/tenants/*" {
  capabilities = ["read"]
}

path "${kv_mount}/metadata/tenants/*" {
  capabilities = ["delete", "list", "scan"]
}

# Names alone, to see what was deleted behind a tenant's back without asking for each.
path "${kv_mount}/metadata/tenants/" {
  capabilities = ["list", "scan"]
}

path "${transit_mount}/keys/" {
  capabilities = ["list"]
}

# Tenants' entries for the egress proxy: hashes of those logins, and the hosts that they open.
path "${kv_mount}/data/cell/egress/*" {
  capabilities = ["create", "update", "read"]
}

path "${kv_mount}/metadata/cell/egress/*" {
  capabilities = ["delete"]
}

# Tenants' database accounts.
path "${database_mount}/static-roles/t-*" {
  capabilities = ["create", "update", "read", "delete"]
}

# An account that was dropped and made again has no password until OpenBao sets one.
path "${database_mount}/rotate-role/t-*" {
  capabilities = ["update"]
}

# A server of a tenant's own.
path "${database_mount}/config/t-*" {
  capabilities = ["create", "update", "read", "delete"]
}

# A server of a tenant's own at AWS: the login that OpenBao has there, and the provisioner's own account on it.
path "${database_mount}/rotate-root/t-*" {
  capabilities = ["update"]
}

path "${database_mount}/static-roles/tenantry-provisioner-*" {
  capabilities = ["create", "update", "read", "delete"]
}

path "${database_mount}/static-creds/tenantry-provisioner-*" {
  capabilities = ["read"]
}

# Its own logins to the shared services, and the authority that signed their certificates.
path "${database_mount}/static-creds/tenantry-provisioner" {
  capabilities = ["read"]
}

# The account that counts what waits in tenants' schemas, and can change nothing there.
path "${database_mount}/static-creds/tenantry-observer" {
  capabilities = ["read"]
}

# The account that copies the database server, to bring one tenant to a moment.
path "${database_mount}/static-creds/tenantry-copier" {
  capabilities = ["read"]
}

path "${kv_mount}/data/cell/rabbitmq" {
  capabilities = ["read"]
}

path "${kv_mount}/data/cell/redis" {
  capabilities = ["read"]
}

path "${kv_mount}/data/cell/authority" {
  capabilities = ["read"]
}
