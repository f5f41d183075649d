"""Which errors of PostgreSQL go away by themselves, and which never will."""

import asyncpg

OUTAGES: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg 0.32, when the server dies while a connection is made or reset
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.PostgresSystemError,
    asyncpg.InsufficientPrivilegeError,
)
"""The server is down, starting, stopping, full or busy, or lets us no more: the same statement may work later."""

REFUSALS: tuple[type[Exception], ...] = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""The values do not fit (SQLSTATE classes 22 and 23): the same statement fails for ever."""
