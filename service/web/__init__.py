"""What travels over HTTP: the JSON API for programs, the pages for people. Handlers parse, call, respond."""
