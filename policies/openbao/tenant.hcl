# What a tenant's own pods may do. One policy for all tenants: OpenBao fills in the namespace of the service
# account that logged in. ${...} are filled in by the cell stack (mounts) and by the Policy provider (accessor).

# Its secrets: generated ones, messaging and cache logins, credentials of integrations.
path "${kv_mount}/data/tenants/{{identity.entity.aliases.${kubernetes_accessor}.metadata.service_account_namespace}}/*" {
  capabilities = ["read"]
}

# Its transit key: envelopes of backups and media.
path "${transit_mount}/encrypt/{{identity.entity.aliases.${kubernetes_accessor}.metadata.service_account_namespace}}" {
  capabilities = ["update"]
}

path "${transit_mount}/decrypt/{{identity.entity.aliases.${kubernetes_accessor}.metadata.service_account_namespace}}" {
  capabilities = ["update"]
}

path "${transit_mount}/datakey/plaintext/{{identity.entity.aliases.${kubernetes_accessor}.metadata.service_account_namespace}}" {
  capabilities = ["update"]
}

# Passwords of its two database accounts.
path "${database_mount}/static-creds/{{identity.entity.aliases.${kubernetes_accessor}.metadata.service_account_namespace}}-a" {
  capabilities = ["read"]
}

path "${database_mount}/static-creds/{{identity.entity.aliases.${kubernetes_accessor}.metadata.service_account_namespace}}-b" {
  capabilities = ["read"]
}
