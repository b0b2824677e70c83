"""Models started, stopped and replaced at run time: a loopback service inside the supervisor's event loop."""
