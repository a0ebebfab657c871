"""Each folder is a package, so that what its conftest sets up for it ends with it."""
