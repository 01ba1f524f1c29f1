"""The built-in page in a real browser: headless Chromium with its own EventSource."""
