"""File sources and protocol cores."""
