"""``kong-metering capture``: what an ingest endpoint captured."""

from __future__ import annotations

from .main import Verbs

command = Verbs(
    name="capture",
    help="Search, explain, compare, export and replay what an ingest endpoint captured.",
    table={
        "convert": ("capture_convert", "Turn a capture of an older version into one of this version."),
        "diff": ("capture_diff", "Compare the events of two captures."),
        "explain": (
            "capture_explain",
            "One event, or request: verdict, findings, deliveries; --journal: both sides.",
        ),
        "export": ("capture_export", "Write events as JSON lines, CSV or Parquet, or requests as HAR."),
        "list": ("capture_list", "List events, by subject, type, time, verdict, lane or id."),
        "query": ("capture_query", "Ask a capture in SQL; it is only read."),
        "replay": ("capture_replay", "Send the captured batches again, to another endpoint."),
        "report": ("capture_report", "One HTML page with the timeline of deliveries."),
        "serve": ("capture_serve", "Search, filter and explain its events in the browser."),
    },
)
