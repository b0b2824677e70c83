"""The services of the stack: four web services and a supervisor over a shared foundation, wire and clients."""
