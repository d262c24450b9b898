"""Commands of `bench` beside the measurement itself, a file each."""
