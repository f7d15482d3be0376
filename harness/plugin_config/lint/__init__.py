"""Advice on configurations that the gateway would take: rules, the linter, and the reports of what it found."""
