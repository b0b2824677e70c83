"""Answers: with no context or with passages of a knowledge base."""
