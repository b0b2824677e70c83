"""The controller: knows the leases of workers and picks one for a model. Speaks FastChat's control wire."""
