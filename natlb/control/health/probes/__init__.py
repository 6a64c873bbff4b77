"""What each type of check asks, one module each; `health.probe` calls them.

    async def ask(check, target, steps, open_socket) -> tuple[Code, str]

Returns how the check passed, with words. Everything else is an exception: `Failure` for what the
backend did wrong, `OSError` as it comes. Whoever calls bounds the time and tells the rest.
"""
