"""The fault suite: what Tenantry is when its operator is killed or a system that it needs fails, on a real cell.

`python -m bench.faults` runs every case and prints a table; tests take single cases from here. Cases are data
(`cases`), each is one operation on one tenant and one fault in the middle of it (`striking`), after which the tenant
is looked at by checks that are named for what they find (`checks`).
"""
