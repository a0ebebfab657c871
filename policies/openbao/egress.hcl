# What the cell's egress proxy may do: read who may come (hashes of passwords) and where to.
path "${kv_mount}/metadata/cell/egress" {
  capabilities = ["list"]
}

path "${kv_mount}/metadata/cell/egress/" {
  capabilities = ["list"]
}

path "${kv_mount}/data/cell/egress/*" {
  capabilities = ["read"]
}
