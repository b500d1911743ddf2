"""Pictures: from bytes that someone sent to what the model takes and what is kept. Codecs run in processes of their own."""
