"""What users read of the books: lists in pages, exports, and the same rows as the stream tells them."""
