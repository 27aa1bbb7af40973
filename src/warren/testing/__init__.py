"""Contract suites that every store, checkpoint store, strategy and engine passes; subclass them in your tests."""
