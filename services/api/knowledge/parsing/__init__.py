"""Reading and cutting files in processes of their own, so that no file can hurt anything but itself."""
