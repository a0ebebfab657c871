"""What the resources of a tenant must never break, as one set of rules that runs in three ways:

- embedded.py: the embedded engine, between evaluating and planning;
- pulumi_pack.py: `pulumi up --policy-pack policies`;
- `tenantry policy check`, through embedded.py as well.

A rule is a plain function over `Resource` or `Stack` (view.py), named as the violation it finds. It knows nobody who
runs it. rules/ holds them, one subject a module; judging.py applies them; reference.py writes docs/policies.md.
"""
