# What deprovisioning needs besides the provisioner's rights: to end a deleted tenant's logins, to look everywhere for
# what is left of it, and to sign its certificate. Beyond what is named here it lists names and reads no secret.

# Tokens of a deleted tenant: found by the namespace that they were given to, and revoked.
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}

path "auth/token/accessors/" {
  capabilities = ["list", "sudo"]
}

path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}

path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}

# The identities that OpenBao made for its service accounts.
path "identity/entity/id" {
  capabilities = ["list"]
}

path "identity/entity/id/" {
  capabilities = ["list"]
}

path "identity/entity/id/+" {
  capabilities = ["read", "delete"]
}

path "identity/group/id" {
  capabilities = ["list"]
}

path "identity/group/id/" {
  capabilities = ["list"]
}

path "identity/group/id/+" {
  capabilities = ["read"]
}

# The inventory: names of everything, in every engine and every method of login.
path "sys/mounts" {
  capabilities = ["read"]
}

path "sys/auth" {
  capabilities = ["read"]
}

path "sys/policies/acl" {
  capabilities = ["list"]
}

path "sys/policies/acl/*" {
  capabilities = ["read", "list"]
}

path "sys/leases/lookup/*" {
  capabilities = ["list", "sudo"]
}

path "auth/+/role" {
  capabilities = ["list"]
}

path "auth/+/role/*" {
  capabilities = ["read", "list"]
}

path "auth/+/users" {
  capabilities = ["list"]
}

path "auth/+/users/*" {
  capabilities = ["read", "list"]
}

path "+/keys" {
  capabilities = ["list"]
}

path "+/keys/" {
  capabilities = ["list"]
}

path "+/metadata" {
  capabilities = ["list"]
}

path "+/metadata/*" {
  capabilities = ["list"]
}

path "+/config" {
  capabilities = ["list"]
}

path "+/config/" {
  capabilities = ["list"]
}

path "+/roles" {
  capabilities = ["list"]
}

path "+/roles/" {
  capabilities = ["list"]
}

path "+/static-roles" {
  capabilities = ["list"]
}

path "+/static-roles/" {
  capabilities = ["list"]
}

# Secrets of a deleted tenant, at any depth, and its entry for the egress proxy.
path "${kv_mount}/metadata/tenants/*" {
  capabilities = ["delete", "list"]
}

path "${kv_mount}/metadata/cell/egress/*" {
  capabilities = ["delete", "list"]
}

# Its logins to the shared services, to look around in them.
path "${database_mount}/static-creds/tenantry-provisioner" {
  capabilities = ["read"]
}

path "${kv_mount}/data/cell/rabbitmq" {
  capabilities = ["read"]
}

path "${kv_mount}/data/cell/redis" {
  capabilities = ["read"]
}

# The key that signs certificates: made once, used, never exported.
path "${transit_mount}/keys/tenantry-certificates" {
  capabilities = ["create", "update", "read"]
}

path "${transit_mount}/sign/tenantry-certificates" {
  capabilities = ["update"]
}
