-- state: 0 live, 1 finished, 2 aborted, 3 purged. Times and ages are milliseconds. `@` is the prefix.
CREATE TABLE @streams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    state smallint NOT NULL,
    generation bigint NOT NULL,
    producer bytea NOT NULL,
    next bigint NOT NULL,
    total bigint NOT NULL, -- bytes of all events that it ever had
    progress bytea NOT NULL,
    session bytea,
    owner bytea,
    keep_events bigint NOT NULL,
    keep_bytes bigint NOT NULL,
    keep_age bigint NOT NULL,
    changed bigint NOT NULL,
    origin bytea NOT NULL
) WITH (fillfactor = 50); -- each append updates its row, in the same page
CREATE INDEX @streams_session ON @streams (session) WHERE session IS NOT NULL;
CREATE INDEX @streams_owner ON @streams (owner) WHERE owner IS NOT NULL;
CREATE TABLE @pieces (
    stream bigint NOT NULL,
    last bigint NOT NULL,
    first bigint NOT NULL,
    total bigint NOT NULL, -- the stream's, with this piece
    appended bigint NOT NULL,
    hole text,
    bytes bytea NOT NULL,
    PRIMARY KEY (stream, last)
);
-- Events are read far less often than they are written: compressing them is not worth it.
ALTER TABLE @pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE @generations (
    stream bigint NOT NULL,
    number bigint NOT NULL,
    first bigint NOT NULL,
    gap text,
    PRIMARY KEY (stream, number)
);
CREATE TABLE @leases (instance bytea PRIMARY KEY, until bigint NOT NULL);
CREATE TABLE @sessions (
    id bytea PRIMARY KEY,
    owner bytea,
    metadata bytea NOT NULL,
    idle bigint NOT NULL,
    created bigint NOT NULL,
    touched bigint NOT NULL
);
CREATE TABLE @session_values (
    session bytea NOT NULL REFERENCES @sessions (id) ON DELETE CASCADE,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (session, name)
);
