//! The statements about streams. `@` is the prefix of the tables, `#` the server's clock.

use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::Row;

use super::listen::channel;
use super::pool::Pool;
use crate::resume::GapReason;
use crate::store::codes::{
    PURGED, columns, content, gap, millis, signed, state, state_code, unsigned,
};
use crate::store::{
    Append, Claim, Error, ErrorKind, Extent, Generation, Key, NewStream, Page, Piece, Purge,
    Record, State, Swept,
};

pub(super) async fn create(pool: &Pool, key: &Key, new: &NewStream) -> Result<(), Error> {
    const CREATE: &str = "
        WITH made AS (
            INSERT INTO @streams (key, state, generation, producer, next, total, progress, session, owner,
                keep_events, keep_bytes, keep_age, changed, origin)
            VALUES ($1, 0, 1, $2, 1, 0, '', $3, $4, $5, $6, $7, #, $8)
            ON CONFLICT (key) DO NOTHING RETURNING id
        )
        INSERT INTO @generations SELECT id, 1, 1, NULL FROM made RETURNING stream";
    let session = new.session.as_ref().map(Key::as_bytes);
    let owner = new.owner.as_ref().map(Key::as_bytes);
    let (events, bytes) = (signed(new.keep.events), signed(new.keep.bytes));
    let (age, origin) = (millis(new.keep.age), &new.origin[..]);
    let producer = new.producer.as_bytes();
    let made = pool
        .write(
            CREATE,
            &[&key.as_bytes(), &producer, &session, &owner, &events, &bytes, &age, &origin],
        )
        .await?;
    if made.is_empty() { Err(why_not(pool, key).await) } else { Ok(()) }
}

/// Why something about a stream did not fit.
async fn why_not(pool: &Pool, stream: &Key) -> Error {
    const STATE: &str = "SELECT state::bigint FROM @streams WHERE key = $1";
    match pool.read(STATE, &[&stream.as_bytes()]).await {
        Ok(rows) => refusal(rows.first().map(|row| row.get(0))),
        Err(error) => error,
    }
}

fn refusal(state: Option<i64>) -> Error {
    match state {
        None => ErrorKind::NotFound.into(),
        Some(PURGED) => ErrorKind::Purged.into(),
        Some(_) => ErrorKind::Refused.into(),
    }
}

/// A batch, column by column.
#[derive(Default)]
struct Batch<'a> {
    keys: Vec<&'a [u8]>,
    generations: Vec<i64>,
    firsts: Vec<i64>,
    nexts: Vec<i64>,
    bytes: Vec<i64>,
    states: Vec<i64>,
    progress: Vec<Option<&'a [u8]>>,
    gaps: Vec<Option<&'static str>>,
    pieces: Pieces<'a>,
}

/// Its pieces: each with the number of its entry, and the bytes of that entry up to and with it.
#[derive(Default)]
struct Pieces<'a> {
    entries: Vec<i64>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    totals: Vec<i64>,
    holes: Vec<Option<&'static str>>,
    bytes: Vec<&'a [u8]>,
}

impl<'a> Batch<'a> {
    fn of(entries: &'a [Append]) -> Self {
        let mut batch = Self::default();
        for (entry, number) in entries.iter().zip(1..) {
            batch.keys.push(entry.stream.as_bytes());
            batch.generations.push(i64::from(entry.generation));
            batch.firsts.push(signed(entry.first));
            batch.nexts.push(signed(entry.next()));
            batch.bytes.push(signed(entry.bytes()));
            batch.states.push(state_code(entry.end.map_or(State::Live, State::from)));
            batch.progress.push(entry.progress.as_deref());
            batch.gaps.push(entry.gap.map(GapReason::as_str));
            batch.pieces.add(entry, number);
        }
        batch
    }
}

impl<'a> Pieces<'a> {
    fn add(&mut self, entry: &'a Append, number: i64) {
        let mut total = 0;
        for piece in &entry.pieces {
            let (hole, bytes) = columns(&piece.content);
            total += bytes.len() as i64;
            self.entries.push(number);
            self.firsts.push(signed(piece.first));
            self.lasts.push(signed(piece.next() - 1));
            self.totals.push(total);
            self.holes.push(hole);
            self.bytes.push(bytes);
        }
    }
}

/// One statement, whatever the batch has. What two transactions write to the same stream comes one after the other,
/// since both update its row, and the second one then compares again.
pub(super) async fn append(
    pool: &Pool,
    entries: &[Append],
) -> Result<Vec<Result<(), Error>>, Error> {
    const APPEND: &str = "
        WITH entry AS (
            SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                $7::bytea[], $8::text[])
            WITH ORDINALITY AS e (key, generation, first, next, bytes, state, progress, gap, number)
        ), moved AS (
            UPDATE @streams s SET next = e.next, total = s.total + e.bytes, state = e.state,
                progress = coalesce(e.progress, s.progress), changed = #
            FROM entry e
            WHERE s.key = e.key AND s.state = 0 AND s.generation = e.generation AND s.next = e.first
            RETURNING s.id, s.key, s.total - e.bytes AS total, s.generation, e.gap, e.number
        ), pieces AS (
            INSERT INTO @pieces (stream, last, first, total, appended, hole, bytes)
            SELECT m.id, p.last, p.first, m.total + p.total, #, p.hole, p.bytes
            FROM unnest($9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::bytea[])
                AS p (number, first, last, total, hole, bytes)
            JOIN moved m USING (number)
        ), gaps AS (
            UPDATE @generations g SET gap = m.gap FROM moved m
            WHERE g.stream = m.id AND g.number = m.generation AND m.gap IS NOT NULL
        ), told AS (
            SELECT number, pg_notify($15, encode(key, 'hex')) FROM moved
        )
        SELECT t.number IS NOT NULL, s.state::bigint
        FROM entry e LEFT JOIN told t USING (number) LEFT JOIN @streams s ON s.key = e.key
        ORDER BY e.number";
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let Batch { keys, generations, firsts, nexts, bytes, states, progress, gaps, pieces } =
        Batch::of(entries);
    let channel = channel(pool.prefix());
    let rows = pool
        .write(
            APPEND,
            &[
                &keys,
                &generations,
                &firsts,
                &nexts,
                &bytes,
                &states,
                &progress,
                &gaps,
                &pieces.entries,
                &pieces.firsts,
                &pieces.lasts,
                &pieces.totals,
                &pieces.holes,
                &pieces.bytes,
                &channel,
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| if row.get(0) { Ok(()) } else { Err(refusal(row.get(1))) }).collect())
}

/// The columns of an extent, for a statement over `@streams s`.
macro_rules! extent_columns {
    () => {
        "s.state::bigint, s.generation, s.producer, s.next,
        coalesce((SELECT until FROM @leases WHERE instance = s.producer), 0) <= #,
        (SELECT first FROM @pieces WHERE stream = s.id ORDER BY last LIMIT 1)"
    };
}

/// A generation; its column is wider.
fn generation_number(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn extent_of(row: &Row) -> Result<Extent, Error> {
    let next: i64 = row.get(3);
    Ok(Extent {
        state: state(row.get(0))?,
        generation: generation_number(row.get(1)),
        producer: Key::new(row.get::<_, Vec<u8>>(2))?,
        lapsed: row.get(4),
        first: unsigned(row.get::<_, Option<i64>>(5).unwrap_or(next)),
        next: unsigned(next),
    })
}

pub(super) async fn extent(pool: &Pool, key: &Key) -> Result<Extent, Error> {
    const EXTENT: &str = concat!("SELECT ", extent_columns!(), " FROM @streams s WHERE s.key = $1");
    let rows = pool.read(EXTENT, &[&key.as_bytes()]).await?;
    extent_of(rows.first().ok_or(ErrorKind::NotFound)?)
}

pub(super) async fn record(pool: &Pool, key: &Key) -> Result<Record, Error> {
    const RECORD: &str = concat!(
        "SELECT ",
        extent_columns!(),
        ", s.origin, s.progress, g.number, g.first, g.gap
        FROM @streams s LEFT JOIN @generations g ON g.stream = s.id WHERE s.key = $1 ORDER BY g.number"
    );
    let rows = pool.read(RECORD, &[&key.as_bytes()]).await?;
    let row = rows.first().ok_or(ErrorKind::NotFound)?;
    let extent = extent_of(row)?;
    let blob = |column| Bytes::from(row.get::<_, Vec<u8>>(column));
    let generations = rows.iter().map(generation).collect::<Result<_, _>>()?;
    Ok(Record { extent, origin: blob(6), progress: blob(7), generations })
}

fn generation(row: &Row) -> Result<Generation, Error> {
    let (number, first) = (generation_number(row.get(8)), unsigned(row.get(9)));
    Ok(Generation { number, first, gap: gap(row.get(10))? })
}

pub(super) async fn read(pool: &Pool, key: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
    // `total` grows with `last`, so what fits is known without the bytes.
    const READ: &str = concat!(
        "WITH next AS MATERIALIZED (
            SELECT p.stream, p.first, p.last, p.total, p.hole, p.bytes
            FROM @pieces p WHERE p.stream = (SELECT id FROM @streams WHERE key = $1) AND p.last > $2
            ORDER BY p.last LIMIT 1
        ), page AS (
            SELECT first, last, hole, bytes FROM next
            UNION ALL
            SELECT p.first, p.last, p.hole, p.bytes
            FROM next n CROSS JOIN LATERAL (
                SELECT * FROM @pieces WHERE stream = n.stream AND last > n.last ORDER BY last LIMIT 999
            ) p
            WHERE p.total - n.total + octet_length(n.bytes) <= $3
        )
        SELECT ",
        extent_columns!(),
        ", p.first, p.last, p.hole, p.bytes
        FROM @streams s LEFT JOIN page p ON true WHERE s.key = $1 ORDER BY p.last"
    );
    let (after, bytes) = (signed(after), signed(bytes as u64));
    let rows = pool.read(READ, &[&key.as_bytes(), &after, &bytes]).await?;
    let extent = extent_of(rows.first().ok_or(ErrorKind::NotFound)?)?;
    let pieces = rows.iter().filter(|row| row.get::<_, Option<i64>>(6).is_some());
    Ok(Page { extent, pieces: pieces.map(piece).collect::<Result<_, _>>()? })
}

fn piece(row: &Row) -> Result<Piece, Error> {
    let (first, last): (i64, i64) = (row.get(6), row.get(7));
    let content = content(row.get(8), row.get::<_, Vec<u8>>(9).into())?;
    Ok(Piece { first: unsigned(first), count: unsigned(last - first + 1), content })
}

pub(super) async fn claim(pool: &Pool, key: &Key, claim: &Claim) -> Result<(), Error> {
    const CLAIM: &str = "
        WITH claimed AS (
            UPDATE @streams s SET state = 0, generation = generation + 1, producer = $1, changed = #
            WHERE s.key = $2 AND s.generation = $3 AND (s.state = 2 OR s.state = 0
                AND coalesce((SELECT until FROM @leases WHERE instance = s.producer), 0) <= #)
            RETURNING id, key, generation, next
        ), begun AS (
            INSERT INTO @generations SELECT id, generation, next, $4 FROM claimed
        ), forgotten AS (
            DELETE FROM @generations g USING claimed c WHERE g.stream = c.id AND g.number <= c.generation - $5
        )
        SELECT pg_notify($6, encode(key, 'hex')) FROM claimed";
    let gap = claim.gap.map(GapReason::as_str);
    let (after, most) = (i64::from(claim.after), Record::MOST_GENERATIONS as i64);
    let (producer, channel) = (claim.producer.as_bytes(), channel(pool.prefix()));
    let claimed =
        pool.write(CLAIM, &[&producer, &key.as_bytes(), &after, &gap, &most, &channel]).await?;
    if claimed.is_empty() { Err(why_not(pool, key).await) } else { Ok(()) }
}

pub(super) async fn renew(pool: &Pool, instance: &Key, lease: Duration) -> Result<(), Error> {
    const RENEW: &str = "
        INSERT INTO @leases VALUES ($1, # + $2) ON CONFLICT (instance) DO UPDATE SET until = excluded.until";
    pool.write(RENEW, &[&instance.as_bytes(), &millis(lease)]).await?;
    Ok(())
}

pub(super) async fn sweep(pool: &Pool) -> Result<Swept, Error> {
    // A stream that is live is held by its producer's lease. A row that is changed meanwhile is looked at again.
    const EXPIRE: &str = "
        WITH gone AS (
            DELETE FROM @streams s WHERE s.keep_age + greatest(s.changed, CASE WHEN s.state = 0 THEN
                (SELECT until FROM @leases WHERE instance = s.producer) END) <= #
            RETURNING s.id, s.key
        ), generations AS (
            DELETE FROM @generations g USING gone WHERE g.stream = gone.id
        ), pieces AS (
            DELETE FROM @pieces p USING gone WHERE p.stream = gone.id
        )
        SELECT pg_notify($1, encode(key, 'hex')) FROM gone";
    // Looks at one piece of each stream, and at those that go.
    const TRIM: &str = "
        WITH due AS (
            SELECT s.* FROM @streams s CROSS JOIN LATERAL (
                SELECT * FROM @pieces WHERE stream = s.id ORDER BY last LIMIT 1
            ) p
            WHERE s.state = 3 OR s.next - 1 - p.last >= s.keep_events OR s.total - p.total >= s.keep_bytes
                OR p.appended + s.keep_age <= #
        ), gone AS (
            DELETE FROM @pieces p USING due s WHERE p.stream = s.id AND (s.state = 3
                OR s.next - 1 - p.last >= s.keep_events OR s.total - p.total >= s.keep_bytes
                OR p.appended + s.keep_age <= #)
            RETURNING 1
        )
        SELECT count(*) FROM gone";
    const LEASES: &str = "
        DELETE FROM @leases WHERE until <= # AND instance NOT IN (SELECT producer FROM @streams WHERE state = 0)";
    let streams = pool.write(EXPIRE, &[&channel(pool.prefix())]).await?.len() as u64;
    let pieces = pool.write(TRIM, &[]).await?;
    pool.write(LEASES, &[]).await?;
    Ok(Swept { pieces: unsigned(pieces.first().map_or(0, |row| row.get(0))), streams })
}

/// Makes tombstones of the streams that a condition names.
macro_rules! bury {
    ($which:literal) => {
        concat!(
            "WITH buried AS (
                UPDATE @streams SET state = 3, progress = '', origin = '', session = NULL, owner = NULL, changed = #
                WHERE state <> 3 AND ",
            $which,
            " RETURNING id, key
            )
            SELECT id, pg_notify($1, encode(key, 'hex')) FROM buried"
        )
    };
}

pub(super) async fn purge(pool: &Pool, what: &Purge) -> Result<u64, Error> {
    // Apart from the first one, which waits for appends under way: this one sees what they wrote. What a crash
    // leaves between, nobody can read, and the next sweep removes.
    const EMPTY: &str = "
        WITH pieces AS (DELETE FROM @pieces WHERE stream = ANY ($1))
        DELETE FROM @generations WHERE stream = ANY ($1)";
    let (bury, name) = match what {
        Purge::Stream(stream) => (bury!("key = $2"), Some(stream)),
        Purge::Session(session) => (bury!("session = $2"), Some(session)),
        Purge::Owner(owner) => (bury!("owner = $2"), Some(owner)),
        Purge::All => (bury!("$2::bytea IS NULL"), None),
    };
    let name = name.map(Key::as_bytes);
    let buried = pool.write(bury, &[&channel(pool.prefix()), &name]).await?;
    let buried: Vec<i64> = buried.iter().map(|row| row.get(0)).collect();
    if !buried.is_empty() {
        pool.write(EMPTY, &[&buried]).await?;
    }
    Ok(buried.len() as u64)
}
