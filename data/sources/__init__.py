"""Public formats and how to fetch them; every reader yields the frames of ``data.frames``."""
