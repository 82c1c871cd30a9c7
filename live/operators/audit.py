"""Writing into the audit log what the books do not see."""

import asyncpg


async def append(
    connection: asyncpg.Connection, actor: str, action: str, subject: str, detail: str, now: int
) -> None:
    """Add a row in the connection's transaction, last of all: it holds the log's head until that commits.

    The books need the head for each of their commits, so nothing may be asked of them in between.
    """
    await connection.execute(
        "select append_audit($1, $2, $3, $4, (select seq from books_writer), $5)",
        actor,
        action,
        subject,
        detail,
        now,
    )
