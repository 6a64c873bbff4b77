"""`natlb top`: services, backends and flows as they are at the moment, and keys that change them.

look     what the API said at one moment, and what changed since the moment before
rows     that as words: a row for each service and each backend
plain    rows as one table for scripts
screens  dialogs, and the flows of one backend
app      the terminal

Only `screens` and `app` need Textual.
"""
