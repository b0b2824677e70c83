"""Takes over an installation of 0.2.x: its folder of files and its database. Called by init_database.py."""
