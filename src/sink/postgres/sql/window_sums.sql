pages, rows, inserted, updated, unchanged, rejected, requests, retries, bytes, extract_ms, load_ms
