"""The echo upstream as a provider of models: a chat that repeats what it was told, in OpenAI's form.

A token is a word, so that whoever sends a request knows what it will cost.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

PATH_END = "/chat/completions"


def chat_answer(body: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer to a chat request: the last message again, and its usage."""
    try:
        asked = orjson.loads(body)
        messages = [str(message["content"]) for message in asked["messages"]]
        told = messages[-1]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        message = "a list of messages, each with its content, is needed"
        return 400, orjson.dumps({"error": {"message": message, "type": "invalid_request_error"}})
    prompt, completion = sum(len(text.split()) for text in messages), len(told.split())
    reply: dict[str, Any] = {"role": "assistant", "content": told}
    answer = {
        "id": "chatcmpl-echo",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": str(asked.get("model") or "echo"),
        "choices": [{"index": 0, "message": reply, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
    return 200, orjson.dumps(answer)
