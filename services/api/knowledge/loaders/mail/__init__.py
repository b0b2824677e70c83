"""Mail and saved web pages: .eml, .msg, .mhtml."""
