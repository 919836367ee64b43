//! The statements about streams.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use super::database::{Database, Work};
use super::error::Failure;
use super::now;
use crate::resume::GapReason;
use crate::store::codes::{
    PURGED, columns, content, gap, millis, signed, state, state_code, unsigned,
};
use crate::store::{
    Append, Claim, Error, ErrorKind, Extent, Generation, Key, NewStream, Page, Piece, Purge,
    Record, State, Swept,
};

pub(super) fn create(database: &mut Database, key: &Key, new: &NewStream) -> Result<(), Failure> {
    let work = database.write()?;
    let taken = work.statement("SELECT state FROM @streams WHERE key = ?")?;
    if let Some(code) = { taken }.query_row([key.as_bytes()], |row| row.get(0)).optional()? {
        state(code)?;
        return Err(ErrorKind::Refused.into());
    }
    let change = next_change(&work)?;
    let insert = "INSERT INTO @streams (key, state, generation, producer, next, total, progress, session, owner, \
        keep_events, keep_bytes, keep_age, changed, change, origin) \
        VALUES (?1, 0, 1, ?2, 1, 0, x'', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id";
    let id: i64 = work.statement(insert)?.query_row(
        params![
            key.as_bytes(),
            new.producer.as_bytes(),
            new.session.as_ref().map(Key::as_bytes),
            new.owner.as_ref().map(Key::as_bytes),
            signed(new.keep.events),
            signed(new.keep.bytes),
            millis(new.keep.age),
            now(),
            change,
            &new.origin[..],
        ],
        |row| row.get(0),
    )?;
    work.statement("INSERT INTO @generations VALUES (?, 1, 1, NULL)")?.execute([id])?;
    work.commit()
}

pub(super) fn append(
    database: &mut Database,
    batch: &[Append],
) -> Result<Vec<Result<(), Error>>, Failure> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let work = database.write()?;
    let (now, change) = (now(), next_change(&work)?);
    let mut results = Vec::with_capacity(batch.len());
    for entry in batch {
        results.push(match move_on(&work, entry, now, change)? {
            Some(moved) => Ok(write(&work, entry, moved, now)?),
            None => Err(why_not(&work, &entry.stream)?),
        });
    }
    work.commit()?;
    Ok(results)
}

/// Moves the stream's row on, if the entry is what comes next: its row's id, and its total before the entry.
fn move_on(
    work: &Work<'_>,
    entry: &Append,
    now: i64,
    change: i64,
) -> Result<Option<(i64, i64)>, Failure> {
    let update = "UPDATE @streams SET next = ?1, total = total + ?2, state = ?3, progress = coalesce(?4, progress), \
        changed = ?5, change = ?6 \
        WHERE key = ?7 AND state = 0 AND generation = ?8 AND next = ?9 RETURNING id, total - ?2";
    let moved = work.statement(update)?.query_row(
        params![
            signed(entry.next()),
            signed(entry.bytes()),
            state_code(entry.end.map_or(State::Live, State::from)),
            entry.progress.as_deref(),
            now,
            change,
            entry.stream.as_bytes(),
            entry.generation,
            signed(entry.first),
        ],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    Ok(moved.optional()?)
}

fn write(
    work: &Work<'_>,
    entry: &Append,
    (id, mut total): (i64, i64),
    now: i64,
) -> Result<(), Failure> {
    let insert = "INSERT INTO @pieces (stream, last, first, total, appended, hole, bytes) \
        VALUES (?, ?, ?, ?, ?, ?, ?)";
    for piece in &entry.pieces {
        total += piece.bytes() as i64;
        let (last, first) = (signed(piece.next() - 1), signed(piece.first));
        let (hole, bytes) = columns(&piece.content);
        work.statement(insert)?.execute(params![id, last, first, total, now, hole, bytes])?;
    }
    if let Some(gap) = entry.gap {
        let update = "UPDATE @generations SET gap = ? WHERE stream = ? AND number = ?";
        work.statement(update)?.execute(params![gap.as_str(), id, entry.generation])?;
    }
    Ok(())
}

/// Why an entry or a claim did not fit.
fn why_not(work: &Work<'_>, stream: &Key) -> Result<Error, Failure> {
    let code = work
        .statement("SELECT state FROM @streams WHERE key = ?")?
        .query_row([stream.as_bytes()], |row| row.get(0));
    Ok(match code.optional()? {
        None => ErrorKind::NotFound.into(),
        Some(PURGED) => ErrorKind::Purged.into(),
        Some(_) => ErrorKind::Refused.into(),
    })
}

/// A stream's row.
struct Stream {
    id: i64,
    extent: Extent,
}

fn stream(work: &Work<'_>, key: &Key) -> Result<Stream, Failure> {
    let select = "SELECT id, state, generation, producer, next, \
        coalesce((SELECT until FROM @leases WHERE instance = producer), 0) <= ?2, \
        (SELECT first FROM @pieces WHERE stream = id ORDER BY last LIMIT 1) \
        FROM @streams WHERE key = ?1";
    let mut select = work.statement(select)?;
    let mut rows = select.query(params![key.as_bytes(), now()])?;
    let row = rows.next()?.ok_or(ErrorKind::NotFound)?;
    Ok(Stream { id: row.get(0)?, extent: extent_of(row)? })
}

fn extent_of(row: &Row<'_>) -> Result<Extent, Failure> {
    let next: i64 = row.get(4)?;
    Ok(Extent {
        state: state(row.get(1)?)?,
        generation: row.get(2)?,
        producer: Key::new(row.get::<_, Vec<u8>>(3)?)?,
        lapsed: row.get(5)?,
        first: unsigned(row.get::<_, Option<i64>>(6)?.unwrap_or(next)),
        next: unsigned(next),
    })
}

pub(super) fn extent(database: &mut Database, key: &Key) -> Result<Extent, Failure> {
    Ok(stream(&database.look()?, key)?.extent)
}

pub(super) fn record(database: &mut Database, key: &Key) -> Result<Record, Failure> {
    record_of(&database.look()?, key)
}

fn record_of(work: &Work<'_>, key: &Key) -> Result<Record, Failure> {
    let Stream { id, extent } = stream(work, key)?;
    let blobs = "SELECT origin, progress FROM @streams WHERE id = ?";
    let (origin, progress): (Vec<u8>, Vec<u8>) =
        work.statement(blobs)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (origin, progress) = (origin.into(), progress.into());
    Ok(Record { extent, origin, progress, generations: generations(work, id)? })
}

fn generations(work: &Work<'_>, stream: i64) -> Result<Vec<Generation>, Failure> {
    let select = "SELECT number, first, gap FROM @generations WHERE stream = ? ORDER BY number";
    let mut select = work.statement(select)?;
    let mut rows = select.query([stream])?;
    let mut generations = Vec::new();
    while let Some(row) = rows.next()? {
        let gap = gap(row.get::<_, Option<String>>(2)?.as_deref())?;
        generations.push(Generation { number: row.get(0)?, first: unsigned(row.get(1)?), gap });
    }
    Ok(generations)
}

pub(super) fn read(
    database: &mut Database,
    key: &Key,
    after: u64,
    bytes: usize,
) -> Result<Page, Failure> {
    let work = database.look()?;
    let Stream { id, extent } = stream(&work, key)?;
    let select =
        "SELECT first, last, hole, bytes FROM @pieces WHERE stream = ? AND last > ? ORDER BY last";
    let mut select = work.statement(select)?;
    let mut rows = select.query(params![id, signed(after)])?;
    let (mut pieces, mut room) = (Vec::new(), bytes);
    while let Some(row) = rows.next()? {
        let piece = piece(row)?;
        let rest = room.checked_sub(piece.bytes());
        if rest.is_none() && !pieces.is_empty() {
            break;
        }
        room = rest.unwrap_or(0);
        pieces.push(piece);
    }
    Ok(Page { extent, pieces })
}

fn piece(row: &Row<'_>) -> Result<Piece, Failure> {
    let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
    let hole: Option<String> = row.get(2)?;
    let content = content(hole.as_deref(), row.get::<_, Vec<u8>>(3)?.into())?;
    Ok(Piece { first: unsigned(first), count: unsigned(last - first + 1), content })
}

pub(super) fn claim(database: &mut Database, key: &Key, claim: &Claim) -> Result<Record, Failure> {
    let work = database.write()?;
    let change = next_change(&work)?;
    let update = "UPDATE @streams SET state = 0, generation = generation + 1, producer = ?1, changed = ?2, change = ?3 \
        WHERE key = ?4 AND generation = ?5 AND (state = 2 OR state = 0 AND \
        coalesce((SELECT until FROM @leases WHERE instance = producer), 0) <= ?2) RETURNING id, next";
    let claimed: Option<(i64, i64)> = work
        .statement(update)?
        .query_row(
            params![claim.producer.as_bytes(), now(), change, key.as_bytes(), claim.after],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((id, next)) = claimed else { return Err(why_not(&work, key)?.into()) };
    let number = i64::from(claim.after) + 1;
    let gap = claim.gap.map(GapReason::as_str);
    let insert = "INSERT INTO @generations VALUES (?, ?, ?, ?)";
    work.statement(insert)?.execute(params![id, number, next, gap])?;
    let forget = "DELETE FROM @generations WHERE stream = ? AND number <= ?";
    work.statement(forget)?.execute(params![id, number - Record::MOST_GENERATIONS as i64])?;
    let record = record_of(&work, key)?;
    work.commit()?;
    Ok(record)
}

pub(super) fn renew(
    database: &mut Database,
    instance: &Key,
    lease: Duration,
) -> Result<(), Failure> {
    let work = database.write()?;
    let upsert =
        "INSERT INTO @leases VALUES (?1, ?2) ON CONFLICT (instance) DO UPDATE SET until = ?2";
    work.statement(upsert)?.execute(params![instance.as_bytes(), now() + millis(lease)])?;
    work.commit()
}

pub(super) fn sweep(database: &mut Database) -> Result<Swept, Failure> {
    let work = database.write()?;
    let now = now();
    // A stream that is live is held by its producer's lease.
    let expired = "SELECT id FROM @streams WHERE keep_age + max(changed, \
        iif(state = 0, coalesce((SELECT until FROM @leases WHERE instance = producer), 0), 0)) <= ?1";
    for table in ["@pieces", "@generations"] {
        let delete = format!("DELETE FROM {table} WHERE stream IN ({expired})");
        work.statement(&delete)?.execute([now])?;
    }
    let delete = format!("DELETE FROM @streams WHERE id IN ({expired})");
    let streams = work.statement(&delete)?.execute([now])?;
    if streams > 0 {
        work.statement("UPDATE @changes SET removals = removals + 1")?.execute([])?;
    }
    // Looks at the pieces that go, and at the first one of each stream that stays.
    let trim = "DELETE FROM @pieces WHERE rowid IN (SELECT p.rowid FROM @streams s CROSS JOIN @pieces p \
        ON p.stream = s.id AND p.last < coalesce((SELECT last FROM @pieces WHERE stream = s.id \
        AND s.next - 1 - last < s.keep_events AND s.total - total < s.keep_bytes \
        AND appended + s.keep_age > ?1 ORDER BY last LIMIT 1), s.next))";
    let pieces = work.statement(trim)?.execute([now])?;
    let leases = "DELETE FROM @leases WHERE until <= ?1 AND instance NOT IN \
        (SELECT producer FROM @streams WHERE state = 0)";
    work.statement(leases)?.execute([now])?;
    work.commit()?;
    Ok(Swept { pieces: pieces as u64, streams: streams as u64 })
}

pub(super) fn purge(database: &mut Database, what: &Purge) -> Result<u64, Failure> {
    let (which, name) = match what {
        Purge::Stream(stream) => ("key = ?1", Some(stream)),
        Purge::Session(session) => ("session = ?1", Some(session)),
        Purge::Owner(owner) => ("owner = ?1", Some(owner)),
        Purge::All => ("?1 IS NULL", None),
    };
    let name = name.map(Key::as_bytes);
    let work = database.write()?;
    for table in ["@pieces", "@generations"] {
        let delete =
            format!("DELETE FROM {table} WHERE stream IN (SELECT id FROM @streams WHERE {which})");
        work.statement(&delete)?.execute([name])?;
    }
    let change = next_change(&work)?;
    let bury = format!(
        "UPDATE @streams SET state = 3, progress = x'', origin = x'', session = NULL, owner = NULL, changed = ?2, \
         change = ?3 WHERE {which} AND state <> 3"
    );
    let purged = work.statement(&bury)?.execute(params![name, now(), change])?;
    work.commit()?;
    Ok(purged as u64)
}

fn next_change(work: &Work<'_>) -> Result<i64, Failure> {
    let raise = "UPDATE @changes SET number = number + 1 RETURNING number";
    Ok(work.statement(raise)?.query_row([], |row| row.get(0))?)
}

/// Up to where changes were seen.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    number: i64,
    removals: i64,
}

/// What was written since.
pub(super) struct News {
    pub(super) seen: Seen,
    /// The streams that were; `None`: any.
    pub(super) changed: Option<Vec<Key>>,
}

pub(super) fn news(database: &mut Database, seen: Option<Seen>) -> Result<News, Failure> {
    let work = database.look()?;
    let (number, removals) = work
        .statement("SELECT number, removals FROM @changes")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let now = Seen { number, removals };
    let Some(seen) = seen.filter(|seen| seen.removals == removals) else {
        return Ok(News { seen: now, changed: None });
    };
    let mut select = work.statement("SELECT key FROM @streams WHERE change > ?")?;
    let mut rows = select.query([seen.number])?;
    let mut changed = Vec::new();
    while let Some(row) = rows.next()? {
        changed.push(Key::new(row.get::<_, Vec<u8>>(0)?)?);
    }
    Ok(News { seen: now, changed: Some(changed) })
}
