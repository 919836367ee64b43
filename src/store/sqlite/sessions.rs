//! The statements about sessions.

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};

use super::database::{Database, Work};
use super::error::Failure;
use super::now;
use crate::store::codes::{duration, millis, signed, unsigned};
use crate::store::{ErrorKind, Key, NewSession, Session};

pub(super) fn create(
    database: &mut Database,
    id: &Key,
    new: &NewSession,
    most: u64,
) -> Result<(), Failure> {
    let work = database.write()?;
    if is_there(&work, id)? {
        return Err(ErrorKind::Refused.into());
    }
    remove(&work, id)?;
    if count_of(&work)? >= most {
        return Err(ErrorKind::LimitReached.into());
    }
    let now = now();
    let owner = new.owner.as_ref().map(Key::as_bytes);
    let insert = "INSERT INTO @sessions (id, owner, metadata, idle, created, touched) VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
    let session = params![id.as_bytes(), owner, &new.metadata[..], millis(new.idle), now];
    work.statement(insert)?.execute(session)?;
    work.commit()
}

fn is_there(work: &Work<'_>, id: &Key) -> Result<bool, Failure> {
    let select = "SELECT 1 FROM @sessions WHERE id = ? AND touched + idle > ?";
    Ok(work.statement(select)?.exists(params![id.as_bytes(), now()])?)
}

fn must_be_there(work: &Work<'_>, id: &Key) -> Result<(), Failure> {
    if is_there(work, id)? { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
}

const COLUMNS: &str = "id, owner, metadata, idle, created, touched";

fn session(row: &Row<'_>, now: i64) -> Result<Session, Failure> {
    let owner: Option<Vec<u8>> = row.get(1)?;
    Ok(Session {
        id: Key::new(row.get::<_, Vec<u8>>(0)?)?,
        owner: owner.map(Key::new).transpose()?,
        metadata: row.get::<_, Vec<u8>>(2)?.into(),
        idle: duration(row.get(3)?),
        age: duration(now - row.get::<_, i64>(4)?),
        idle_for: duration(now - row.get::<_, i64>(5)?),
    })
}

pub(super) fn get(database: &mut Database, id: &Key) -> Result<Session, Failure> {
    let work = database.look()?;
    let select = format!("SELECT {COLUMNS} FROM @sessions WHERE id = ? AND touched + idle > ?");
    let now = now();
    let mut select = work.statement(&select)?;
    let mut rows = select.query(params![id.as_bytes(), now])?;
    session(rows.next()?.ok_or(ErrorKind::NotFound)?, now)
}

pub(super) fn touch(database: &mut Database, id: &Key) -> Result<(), Failure> {
    let work = database.write()?;
    let update = "UPDATE @sessions SET touched = ?2 WHERE id = ?1 AND touched + idle > ?2";
    let touched = work.statement(update)?.execute(params![id.as_bytes(), now()])?;
    work.commit()?;
    if touched == 1 { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
}

pub(super) fn value(
    database: &mut Database,
    id: &Key,
    name: &Key,
) -> Result<Option<Bytes>, Failure> {
    let work = database.look()?;
    must_be_there(&work, id)?;
    value_of(&work, id, name)
}

fn value_of(work: &Work<'_>, id: &Key, name: &Key) -> Result<Option<Bytes>, Failure> {
    let select = "SELECT value FROM @session_values WHERE session = ? AND name = ?";
    let key = params![id.as_bytes(), name.as_bytes()];
    let value = work.statement(select)?.query_row(key, |row| row.get::<_, Vec<u8>>(0));
    Ok(value.optional()?.map(Bytes::from))
}

pub(super) fn set(
    database: &mut Database,
    id: &Key,
    name: &Key,
    value: Option<Bytes>,
) -> Result<(), Failure> {
    let work = database.write()?;
    must_be_there(&work, id)?;
    set_in(&work, id, name, value)?;
    work.commit()
}

fn set_in(work: &Work<'_>, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Failure> {
    let (session, name) = (id.as_bytes(), name.as_bytes());
    if let Some(value) = value {
        let upsert =
            "INSERT OR REPLACE INTO @session_values (session, name, value) VALUES (?, ?, ?)";
        work.statement(upsert)?.execute(params![session, name, &value[..]])?;
    } else {
        let delete = "DELETE FROM @session_values WHERE session = ? AND name = ?";
        work.statement(delete)?.execute(params![session, name])?;
    }
    Ok(())
}

pub(super) fn compare_and_set(
    database: &mut Database,
    id: &Key,
    name: &Key,
    expected: Option<&Bytes>,
    value: Option<Bytes>,
) -> Result<bool, Failure> {
    let work = database.write()?;
    must_be_there(&work, id)?;
    let is_expected = value_of(&work, id, name)?.as_ref() == expected;
    if is_expected {
        set_in(&work, id, name, value)?;
        work.commit()?;
    }
    Ok(is_expected)
}

pub(super) fn list(
    database: &mut Database,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Session>, Failure> {
    let work = database.look()?;
    // No name is empty, so all are after an empty one.
    let after = after.map_or(&b""[..], Key::as_bytes);
    let select = format!("SELECT {COLUMNS} FROM @sessions WHERE id > ? ORDER BY id LIMIT ?");
    let mut select = work.statement(&select)?;
    let mut rows = select.query(params![after, signed(limit as u64)])?;
    let (mut page, now) = (Vec::new(), now());
    while let Some(row) = rows.next()? {
        page.push(session(row, now)?);
    }
    Ok(page)
}

pub(super) fn count(database: &mut Database) -> Result<u64, Failure> {
    count_of(&database.look()?)
}

fn count_of(work: &Work<'_>) -> Result<u64, Failure> {
    let count = work.statement("SELECT count(*) FROM @sessions")?.query_row([], |row| row.get(0));
    Ok(unsigned(count?))
}

pub(super) fn expire(database: &mut Database) -> Result<Vec<Key>, Failure> {
    let work = database.write()?;
    let now = now();
    let values = "DELETE FROM @session_values WHERE session IN \
        (SELECT id FROM @sessions WHERE touched + idle <= ?)";
    work.statement(values)?.execute([now])?;
    let mut expired = Vec::new();
    {
        let delete = "DELETE FROM @sessions WHERE touched + idle <= ? RETURNING id";
        let mut delete = work.statement(delete)?;
        let mut rows = delete.query([now])?;
        while let Some(row) = rows.next()? {
            expired.push(Key::new(row.get::<_, Vec<u8>>(0)?)?);
        }
    }
    work.commit()?;
    Ok(expired)
}

pub(super) fn delete(database: &mut Database, id: &Key) -> Result<bool, Failure> {
    let work = database.write()?;
    let was_there = is_there(&work, id)?;
    remove(&work, id)?;
    work.commit()?;
    Ok(was_there)
}

fn remove(work: &Work<'_>, id: &Key) -> Result<(), Failure> {
    for delete in
        ["DELETE FROM @session_values WHERE session = ?", "DELETE FROM @sessions WHERE id = ?"]
    {
        work.statement(delete)?.execute([id.as_bytes()])?;
    }
    Ok(())
}
