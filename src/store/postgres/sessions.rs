//! The statements about sessions. `@` is the prefix of the tables, `#` the server's clock.

use bytes::Bytes;
use tokio_postgres::Row;

use super::pool::Pool;
use crate::store::codes::{duration, millis, signed, unsigned};
use crate::store::{Error, ErrorKind, Key, NewSession, Session};

pub(super) async fn create(
    pool: &Pool,
    id: &Key,
    new: &NewSession,
    most: u64,
) -> Result<(), Error> {
    const EXPIRED: &str = "DELETE FROM @sessions WHERE id = $1 AND touched + idle <= #";
    const CREATE: &str = "
        INSERT INTO @sessions (id, owner, metadata, idle, created, touched)
        SELECT $1, $2, $3, $4, now, now FROM (SELECT # AS now) AS clock
        WHERE (SELECT count(*) FROM @sessions) < $5
        ON CONFLICT (id) DO NOTHING RETURNING 1";
    const TAKEN: &str = "SELECT 1 FROM @sessions WHERE id = $1";
    let id = id.as_bytes();
    pool.write(EXPIRED, &[&id]).await?;
    let owner = new.owner.as_ref().map(Key::as_bytes);
    let (metadata, idle, most) = (&new.metadata[..], millis(new.idle), signed(most));
    let made = pool.write(CREATE, &[&id, &owner, &metadata, &idle, &most]).await?;
    if !made.is_empty() {
        return Ok(());
    }
    let is_taken = !pool.read(TAKEN, &[&id]).await?.is_empty();
    Err(if is_taken { ErrorKind::Refused } else { ErrorKind::LimitReached }.into())
}

/// The columns of a session, for a statement over `@sessions s`.
macro_rules! columns {
    () => {
        "s.id, s.owner, s.metadata, s.idle, # - s.created, # - s.touched"
    };
}

fn session(row: &Row) -> Result<Session, Error> {
    Ok(Session {
        id: Key::new(row.get::<_, Vec<u8>>(0))?,
        owner: row.get::<_, Option<Vec<u8>>>(1).map(Key::new).transpose()?,
        metadata: row.get::<_, Vec<u8>>(2).into(),
        idle: duration(row.get(3)),
        age: duration(row.get(4)),
        idle_for: duration(row.get(5)),
    })
}

pub(super) async fn get(pool: &Pool, id: &Key) -> Result<Session, Error> {
    const GET: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM @sessions s WHERE s.id = $1 AND s.touched + s.idle > #"
    );
    let rows = pool.read(GET, &[&id.as_bytes()]).await?;
    session(rows.first().ok_or(ErrorKind::NotFound)?)
}

pub(super) async fn touch(pool: &Pool, id: &Key) -> Result<(), Error> {
    const TOUCH: &str =
        "UPDATE @sessions SET touched = # WHERE id = $1 AND touched + idle > # RETURNING 1";
    found(&pool.write(TOUCH, &[&id.as_bytes()]).await?).map(drop)
}

fn found(rows: &[Row]) -> Result<&Row, Error> {
    rows.first().ok_or(ErrorKind::NotFound.into())
}

pub(super) async fn value(pool: &Pool, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
    const VALUE: &str = "
        SELECT v.value FROM @sessions s LEFT JOIN @session_values v ON v.session = s.id AND v.name = $2
        WHERE s.id = $1 AND s.touched + s.idle > #";
    let rows = pool.read(VALUE, &[&id.as_bytes(), &name.as_bytes()]).await?;
    Ok(found(&rows)?.get::<_, Option<Vec<u8>>>(0).map(Bytes::from))
}

pub(super) async fn set(
    pool: &Pool,
    id: &Key,
    name: &Key,
    value: Option<&[u8]>,
) -> Result<(), Error> {
    const SET: &str = "
        INSERT INTO @session_values SELECT id, $2, $3 FROM @sessions WHERE id = $1 AND touched + idle > #
        ON CONFLICT (session, name) DO UPDATE SET value = excluded.value RETURNING 1";
    const REMOVE: &str = "
        WITH removed AS (DELETE FROM @session_values WHERE session = $1 AND name = $2)
        SELECT 1 FROM @sessions WHERE id = $1 AND touched + idle > #";
    let (id, name) = (id.as_bytes(), name.as_bytes());
    let rows = match value {
        Some(value) => pool.write(SET, &[&id, &name, &value]).await?,
        None => pool.write(REMOVE, &[&id, &name]).await?,
    };
    found(&rows).map(drop)
}

/// Each is one statement that changes one row only if that is as expected, and says whether it did.
pub(super) async fn compare_and_set(
    pool: &Pool,
    id: &Key,
    name: &Key,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<bool, Error> {
    const INSERT: &str = "
        WITH done AS (
            INSERT INTO @session_values SELECT id, $2, $3 FROM @sessions WHERE id = $1 AND touched + idle > #
            ON CONFLICT (session, name) DO NOTHING RETURNING 1
        )
        SELECT EXISTS (SELECT 1 FROM done) FROM @sessions WHERE id = $1 AND touched + idle > #";
    const REPLACE: &str = "
        WITH done AS (
            UPDATE @session_values v SET value = $4 FROM @sessions s
            WHERE v.session = $1 AND v.name = $2 AND v.value = $3 AND s.id = $1 AND s.touched + s.idle > # RETURNING 1
        )
        SELECT EXISTS (SELECT 1 FROM done) FROM @sessions WHERE id = $1 AND touched + idle > #";
    const REMOVE: &str = "
        WITH done AS (
            DELETE FROM @session_values v USING @sessions s
            WHERE v.session = $1 AND v.name = $2 AND v.value = $3 AND s.id = $1 AND s.touched + s.idle > # RETURNING 1
        )
        SELECT EXISTS (SELECT 1 FROM done) FROM @sessions WHERE id = $1 AND touched + idle > #";
    let (id, name, key) = (id.as_bytes(), name.as_bytes(), (id, name));
    let rows = match (expected, value) {
        (None, None) => return Ok(self::value(pool, key.0, key.1).await?.is_none()),
        (None, Some(value)) => pool.write(INSERT, &[&id, &name, &value]).await?,
        (Some(expected), Some(value)) => {
            pool.write(REPLACE, &[&id, &name, &expected, &value]).await?
        }
        (Some(expected), None) => pool.write(REMOVE, &[&id, &name, &expected]).await?,
    };
    Ok(found(&rows)?.get(0))
}

pub(super) async fn list(
    pool: &Pool,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Session>, Error> {
    const LIST: &str =
        concat!("SELECT ", columns!(), " FROM @sessions s WHERE s.id > $1 ORDER BY s.id LIMIT $2");
    // No name is empty, so all are after an empty one.
    let after = after.map_or(&b""[..], Key::as_bytes);
    let rows = pool.read(LIST, &[&after, &signed(limit as u64)]).await?;
    rows.iter().map(session).collect()
}

pub(super) async fn count(pool: &Pool) -> Result<u64, Error> {
    let rows = pool.read("SELECT count(*) FROM @sessions", &[]).await?;
    Ok(unsigned(rows.first().map_or(0, |row| row.get(0))))
}

pub(super) async fn expire(pool: &Pool) -> Result<Vec<Key>, Error> {
    const EXPIRE: &str = "DELETE FROM @sessions WHERE touched + idle <= # RETURNING id";
    let rows = pool.write(EXPIRE, &[]).await?;
    rows.iter().map(|row| Key::new(row.get::<_, Vec<u8>>(0))).collect()
}

pub(super) async fn delete(pool: &Pool, id: &Key) -> Result<bool, Error> {
    const DELETE: &str = "DELETE FROM @sessions WHERE id = $1 RETURNING touched + idle > #";
    let rows = pool.write(DELETE, &[&id.as_bytes()]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
