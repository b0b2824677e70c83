"""Tests of services/worker/engines/remote/."""
