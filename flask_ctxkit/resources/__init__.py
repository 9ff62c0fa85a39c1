"""What did I open? Things that are opened once per context, and closed when it ends."""
