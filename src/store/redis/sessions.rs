//! What the script about sessions is given, and what its answers mean.

use bytes::Bytes;

use super::reply::{Parts, Reply};
use super::server::{Argument, Server, script};
use crate::store::codes::{duration, millis, unsigned};
use crate::store::{Error, ErrorKind, Key, NewSession, Session};

/// How many sessions are removed at most in one step, so that others are served meanwhile.
const SOME: u64 = 200;

async fn write(server: &Server, what: &str, rest: &[Argument<'_>]) -> Result<Parts, Error> {
    let mut arguments = vec![what.into()];
    arguments.extend_from_slice(rest);
    server.write(script!("session"), &arguments).await?.checked()
}

async fn read(server: &Server, what: &str, rest: &[Argument<'_>]) -> Result<Parts, Error> {
    let mut arguments = vec![what.into()];
    arguments.extend_from_slice(rest);
    server.read(script!("session"), &arguments).await?.checked()
}

pub(super) async fn create(
    server: &Server,
    id: &Key,
    new: &NewSession,
    most: u64,
) -> Result<(), Error> {
    // No name is empty, so nobody is.
    let owner = new.owner.as_ref().map_or(&b""[..], Key::as_bytes);
    let idle = unsigned(millis(new.idle));
    let rest = [id.into(), owner.into(), (&new.metadata).into(), idle.into(), most.into()];
    write(server, "create", &rest).await.map(drop)
}

fn session(reply: Reply) -> Result<Session, Error> {
    let mut parts = Parts::of(reply)?;
    let (id, owner) = (parts.next()?.key()?, parts.next()?.bytes()?);
    let owner = if owner.is_empty() { None } else { Some(Key::new(owner)?) };
    let metadata = parts.next()?.bytes()?;
    let idle = duration(parts.next()?.number()?);
    let (age, idle_for) = (duration(parts.next()?.number()?), duration(parts.next()?.number()?));
    Ok(Session { id, owner, metadata, idle, age, idle_for })
}

pub(super) async fn get(server: &Server, id: &Key) -> Result<Session, Error> {
    session(read(server, "get", &[id.into()]).await?.next()?)
}

pub(super) async fn touch(server: &Server, id: &Key) -> Result<(), Error> {
    write(server, "touch", &[id.into()]).await.map(drop)
}

pub(super) async fn value(server: &Server, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
    read(server, "value", &[id.into(), name.into()]).await?.next_or_nothing().optional()
}

pub(super) async fn set(
    server: &Server,
    id: &Key,
    name: &Key,
    value: Option<&[u8]>,
) -> Result<(), Error> {
    check_size(value)?;
    let [is_there, value] = optional(value);
    write(server, "set", &[id.into(), name.into(), is_there, value]).await.map(drop)
}

fn optional(value: Option<&[u8]>) -> [Argument<'_>; 2] {
    [u64::from(value.is_some()).into(), value.unwrap_or_default().into()]
}

/// Redis would take half a gigabyte.
fn check_size(value: Option<&[u8]>) -> Result<(), Error> {
    let is_too_large = value.is_some_and(|value| value.len() > 1 << 20);
    if is_too_large { Err(ErrorKind::LimitReached.into()) } else { Ok(()) }
}

pub(super) async fn compare_and_set(
    server: &Server,
    id: &Key,
    name: &Key,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<bool, Error> {
    check_size(value)?;
    let ([is_expected, expected], [is_there, value]) = (optional(expected), optional(value));
    let rest = [id.into(), name.into(), is_expected, expected, is_there, value];
    Ok(write(server, "compare", &rest).await?.next()?.number::<u8>()? == 1)
}

pub(super) async fn list(
    server: &Server,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Session>, Error> {
    let after = after.map_or(&b""[..], Key::as_bytes);
    let rest = [after.into(), (limit as u64).into()];
    let page = read(server, "list", &rest).await?.next()?.parts()?;
    page.map(|part| session(Reply(part))).collect()
}

pub(super) async fn count(server: &Server) -> Result<u64, Error> {
    server.count("sessions").await
}

pub(super) async fn expire(server: &Server) -> Result<Vec<Key>, Error> {
    let mut all = Vec::new();
    loop {
        let expired = write(server, "expire", &[SOME.into()]).await?.next()?.parts()?;
        let before = all.len();
        for name in expired {
            all.push(Reply(name).key()?);
        }
        if ((all.len() - before) as u64) < SOME {
            return Ok(all);
        }
    }
}

pub(super) async fn delete(server: &Server, id: &Key) -> Result<bool, Error> {
    Ok(write(server, "delete", &[id.into()]).await?.next()?.number::<u8>()? == 1)
}
