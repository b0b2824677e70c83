"""Benches of ingestion: what is read of real and hostile files, through the product's own API."""
