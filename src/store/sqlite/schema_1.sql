-- state: 0 live, 1 finished, 2 aborted, 3 purged. Times and ages are milliseconds. `@` is the prefix.
CREATE TABLE @streams (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    state INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    producer BLOB NOT NULL,
    next INTEGER NOT NULL,
    total INTEGER NOT NULL, -- bytes of all events that it ever had
    progress BLOB NOT NULL,
    session BLOB,
    owner BLOB,
    keep_events INTEGER NOT NULL,
    keep_bytes INTEGER NOT NULL,
    keep_age INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    change INTEGER NOT NULL, -- the number of its last change, among those of all streams
    origin BLOB NOT NULL
);
CREATE INDEX @streams_session ON @streams (session) WHERE session IS NOT NULL;
CREATE INDEX @streams_owner ON @streams (owner) WHERE owner IS NOT NULL;
CREATE INDEX @streams_change ON @streams (change);
CREATE TABLE @pieces (
    stream INTEGER NOT NULL,
    last INTEGER NOT NULL,
    first INTEGER NOT NULL,
    total INTEGER NOT NULL, -- the stream's, with this piece
    appended INTEGER NOT NULL,
    hole TEXT,
    bytes BLOB NOT NULL
);
CREATE UNIQUE INDEX @pieces_order ON @pieces (stream, last, total, appended);
CREATE TABLE @generations (
    stream INTEGER NOT NULL,
    number INTEGER NOT NULL,
    first INTEGER NOT NULL,
    gap TEXT,
    PRIMARY KEY (stream, number)
) WITHOUT ROWID;
CREATE TABLE @leases (instance BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE @sessions (
    id BLOB PRIMARY KEY,
    owner BLOB,
    metadata BLOB NOT NULL,
    idle INTEGER NOT NULL,
    created INTEGER NOT NULL,
    touched INTEGER NOT NULL
);
CREATE TABLE @session_values (
    session BLOB NOT NULL,
    name BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (session, name)
);
-- The number of the last change of a stream, and how often streams were removed.
CREATE TABLE @changes (number INTEGER NOT NULL, removals INTEGER NOT NULL);
INSERT INTO @changes VALUES (0, 0);
