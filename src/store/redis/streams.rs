//! What the scripts about streams are given, and what their answers mean.

use std::time::Duration;

use super::reply::{Parts, Reply, unexpected};
use super::server::{Argument, Server, script};
use crate::resume::GapReason;
use crate::store::codes::{columns, content, gap, millis, signed, state, state_code, unsigned};
use crate::store::{
    Append, Claim, Error, Extent, Generation, Key, NewStream, Page, Piece, Purge, Record, State,
    Swept,
};

/// Of how many streams a script sweeps or purges at most, so that others are served meanwhile.
const SOME: u64 = 200;

pub(super) async fn create(server: &Server, key: &Key, new: &NewStream) -> Result<(), Error> {
    let mut arguments: Vec<Argument<'_>> = vec![
        key.into(),
        (&new.producer).into(),
        (&new.origin).into(),
        limit(new.keep.events),
        limit(new.keep.bytes),
        time(new.keep.age),
    ];
    for (what, name) in [("session", &new.session), ("owner", &new.owner)] {
        if let Some(name) = name {
            arguments.extend_from_slice(&[what.into(), name.into()]);
        }
    }
    server.write(script!("create"), &arguments).await?.check()
}

fn time(duration: Duration) -> Argument<'static> {
    Argument::Number(unsigned(millis(duration)))
}

/// Scripts count in floating point.
fn limit(number: u64) -> Argument<'static> {
    Argument::Number(unsigned(signed(number)).min(1 << 53))
}

pub(super) async fn append(
    server: &Server,
    batch: &[Append],
) -> Result<Vec<Result<(), Error>>, Error> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let ends: Vec<String> = batch.iter().map(end).collect();
    let mut arguments = Vec::new();
    for (entry, end) in batch.iter().zip(&ends) {
        add(&mut arguments, entry, end);
    }
    let results = server.write(script!("append"), &arguments).await?.parts()?;
    Ok(results.map(|result| Reply(result).check()).collect())
}

fn end(entry: &Append) -> String {
    entry.end.map_or_else(String::new, |end| state_code(State::from(end)).to_string())
}

fn add<'a>(arguments: &mut Vec<Argument<'a>>, entry: &'a Append, end: &'a str) {
    let gap = entry.gap.map_or("", GapReason::as_str);
    let progress = entry.progress.as_deref();
    arguments.extend_from_slice(&[
        (&entry.stream).into(),
        u64::from(entry.generation).into(),
        entry.first.into(),
        entry.next().into(),
        end.into(),
        gap.into(),
        u64::from(progress.is_some()).into(),
        progress.unwrap_or_default().into(),
        (entry.pieces.len() as u64).into(),
    ]);
    for piece in &entry.pieces {
        let (hole, bytes) = columns(&piece.content);
        let (last, hole) = (piece.next() - 1, hole.unwrap_or_default());
        arguments.extend_from_slice(&[piece.first.into(), last.into(), hole.into(), bytes.into()]);
    }
}

fn extent_of(reply: Reply) -> Result<Extent, Error> {
    let mut parts = Parts::of(reply)?;
    let state = state(parts.next()?.number()?)?;
    let (generation, producer) = (parts.next()?.number()?, parts.next()?.key()?);
    let next = parts.next()?.number()?;
    let lapsed = parts.next()?.number::<u8>()? == 1;
    Ok(Extent { state, generation, producer, lapsed, first: parts.next()?.number()?, next })
}

pub(super) async fn extent(server: &Server, key: &Key) -> Result<Extent, Error> {
    let mut parts = server.read(script!("extent"), &[key.into()]).await?.checked()?;
    extent_of(parts.next()?)
}

pub(super) async fn record(server: &Server, key: &Key) -> Result<Record, Error> {
    record_of(server.read(script!("record"), &[key.into()]).await?)
}

fn record_of(reply: Reply) -> Result<Record, Error> {
    let mut parts = reply.checked()?;
    let extent = extent_of(parts.next()?)?;
    let mut blobs = Parts::of(parts.next()?)?;
    let (origin, progress) = (blobs.next()?.bytes()?, blobs.next()?.bytes()?);
    let generations = parts.next()?.parts()?.map(|line| generation(&Reply(line).text()?));
    Ok(Record { extent, origin, progress, generations: generations.collect::<Result<_, _>>()? })
}

/// A generation of its line: its number, its first offset, and the gap or nothing.
fn generation(line: &str) -> Result<Generation, Error> {
    let mut words = line.splitn(3, ' ');
    let number = words.next().and_then(|word| word.parse().ok()).ok_or_else(unexpected)?;
    let first = words.next().and_then(|word| word.parse().ok()).ok_or_else(unexpected)?;
    Ok(Generation { number, first, gap: gap(words.next().filter(|word| !word.is_empty()))? })
}

pub(super) async fn read(
    server: &Server,
    key: &Key,
    after: u64,
    bytes: usize,
) -> Result<Page, Error> {
    let arguments = [key.into(), after.into(), limit(bytes as u64)];
    let mut parts = server.read(script!("read"), &arguments).await?.checked()?;
    let extent = extent_of(parts.next()?)?;
    let pieces = parts.next()?.parts()?.map(|part| piece(Reply(part)));
    Ok(Page { extent, pieces: pieces.collect::<Result<_, _>>()? })
}

fn piece(reply: Reply) -> Result<Piece, Error> {
    let mut parts = Parts::of(reply)?;
    let (first, last): (u64, u64) = (parts.next()?.number()?, parts.next()?.number()?);
    let hole = Some(parts.next()?.text()?).filter(|hole| !hole.is_empty());
    let content = content(hole.as_deref(), parts.next()?.bytes()?)?;
    Ok(Piece { first, count: last + 1 - first, content })
}

pub(super) async fn claim(server: &Server, key: &Key, claim: &Claim) -> Result<Record, Error> {
    let after = u64::from(claim.after);
    let gap = claim.gap.map_or("", GapReason::as_str);
    let most = Record::MOST_GENERATIONS as u64;
    let arguments = [
        key.into(),
        after.into(),
        (after + 1).into(),
        (&claim.producer).into(),
        gap.into(),
        most.into(),
    ];
    record_of(server.write(script!("claim"), &arguments).await?)
}

pub(super) async fn renew(server: &Server, instance: &Key, lease: Duration) -> Result<(), Error> {
    server.write(script!("renew"), &[instance.into(), time(lease)]).await?;
    Ok(())
}

pub(super) async fn sweep(server: &Server) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    loop {
        let mut parts = Parts::of(server.write(script!("sweep"), &[SOME.into()]).await?)?;
        swept.pieces += parts.next()?.number::<u64>()?;
        swept.streams += parts.next()?.number::<u64>()?;
        if parts.next()?.number::<u8>()? == 0 {
            return Ok(swept);
        }
    }
}

pub(super) async fn purge(server: &Server, what: &Purge) -> Result<u64, Error> {
    let (what, name) = match what {
        Purge::Stream(stream) => ("stream", stream.as_bytes()),
        Purge::Session(session) => ("session", session.as_bytes()),
        Purge::Owner(owner) => ("owner", owner.as_bytes()),
        Purge::All => ("all", &b""[..]),
    };
    let mut purged = 0;
    loop {
        let arguments = [what.into(), name.into(), SOME.into()];
        let mut parts = Parts::of(server.write(script!("purge"), &arguments).await?)?;
        purged += parts.next()?.number::<u64>()?;
        if parts.next()?.number::<u8>()? == 0 {
            return Ok(purged);
        }
    }
}
