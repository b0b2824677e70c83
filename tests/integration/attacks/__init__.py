"""What attackers did to such systems, done to ours: T7 to T19 of the attack list, over real sockets and files."""
