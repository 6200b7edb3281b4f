"""The flow: records in, searchable documents and live frames out. Threads and clocks live here."""
