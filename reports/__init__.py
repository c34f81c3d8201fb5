"""Records of jobs, and what people look at: tables, files, pictures. Knows no method and trains nothing."""
