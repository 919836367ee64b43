//! What the layer writes into a store, which only copies it: a byte that says the version, then the fields in a row.
//! Numbers are in groups of seven bits, the lowest first; what has no fixed length is preceded by it.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
#[cfg(feature = "zstd")]
use zstd::bulk::Compressor;

use crate::binding::{Binding, Page};
use crate::log::{Progress, StoredPiece};
use crate::store::{Content, Piece};

/// The only version there is.
const VERSION: u8 = 1;

/// Bits of an origin.
const REPEATABLE: u64 = 1;
const SHARED: u64 = 2;
const OWNER: u64 = 4;
const SESSION: u64 = 8;
const EXCHANGE: u64 = 16;
const PAGE: u64 = 32;
const LONG_ID: u64 = 64;

/// Bits of progress.
const RETRY: u64 = 1;
const INNER_ID: u64 = 2;

/// How the events of a piece are written.
const PLAIN: u8 = 1;
const WITH_IDS: u8 = 2;
#[cfg(feature = "zstd")]
const COMPRESSED: u8 = 3;

/// What a resume elsewhere needs to know of a stream, and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredOrigin {
    pub(crate) binding: Binding,
    pub(crate) is_shared: bool,
    pub(crate) repeatable: bool,
    /// The last event ID that the inner service was first called with. `None`: it was too long to be kept.
    pub(crate) inner_id: Option<Vec<u8>>,
    pub(crate) headers: HeaderMap,
    /// What a preset knows of the request that it answers.
    pub(crate) exchange: Option<Vec<u8>>,
    /// Where the first request came from; not known of streams that were stored without it.
    pub(crate) page: Option<Page>,
}

/// What does not have the form that is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How pieces are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encoding {
    /// The level of zstd.
    #[cfg(feature = "zstd")]
    pub(crate) compression: Option<i32>,
}

/// Writes pieces. What zstd needs for that is made once: it takes longer than to compress a small piece.
pub(crate) struct Encoder {
    #[cfg(feature = "zstd")]
    compressor: Option<Compressor<'static>>,
}

impl StoredOrigin {
    pub(crate) fn encode(&self) -> Bytes {
        let Binding { target, owner, session } = self.binding;
        let bit = |is: bool, bit| if is { bit } else { 0 };
        let flags = bit(self.repeatable, REPEATABLE)
            | bit(self.is_shared, SHARED)
            | bit(owner.is_some(), OWNER)
            | bit(session.is_some(), SESSION)
            | bit(self.exchange.is_some(), EXCHANGE)
            | bit(self.page.is_some(), PAGE)
            | bit(self.inner_id.is_none(), LONG_ID);
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        put_number(&mut out, flags);
        out.put_u128(target);
        owner.into_iter().chain(session).for_each(|print| out.put_u128(print));
        put_bytes(&mut out, self.inner_id.as_deref().unwrap_or_default());
        put_number(&mut out, self.headers.len() as u64);
        for (name, value) in &self.headers {
            put_bytes(&mut out, name.as_str().as_bytes());
            put_bytes(&mut out, value.as_bytes());
        }
        if let Some(exchange) = &self.exchange {
            put_bytes(&mut out, exchange);
        }
        if let Some(Page(page)) = self.page {
            out.put_u64(page);
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::versioned(bytes)?;
        let flags = input.number()?;
        let has = |bit| flags & bit != 0;
        let binding = Binding {
            target: input.fingerprint()?,
            owner: has(OWNER).then(|| input.fingerprint()).transpose()?,
            session: has(SESSION).then(|| input.fingerprint()).transpose()?,
        };
        let inner_id = Some(input.bytes()?.to_vec()).filter(|_| !has(LONG_ID));
        let mut headers = HeaderMap::new();
        for _ in 0..input.number()? {
            let name = HeaderName::from_bytes(input.bytes()?).map_err(|_| Malformed)?;
            let value = HeaderValue::from_bytes(input.bytes()?).map_err(|_| Malformed)?;
            headers.append(name, value);
        }
        let exchange = has(EXCHANGE).then(|| input.bytes()).transpose()?.map(<[u8]>::to_vec);
        let page = has(PAGE).then(|| input.page()).transpose()?;
        let (repeatable, is_shared) = (has(REPEATABLE), has(SHARED));
        Ok(Self { binding, is_shared, repeatable, inner_id, headers, exchange, page })
    }
}

pub(crate) fn encode_progress(progress: &Progress) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    let bit = |is: bool, bit| if is { bit } else { 0 };
    let flags = bit(progress.retry.is_some(), RETRY) | bit(progress.inner_id.is_some(), INNER_ID);
    put_number(&mut out, flags);
    progress.retry.iter().for_each(|retry| put_number(&mut out, *retry));
    progress.inner_id.iter().for_each(|id| put_bytes(&mut out, id));
    out.freeze()
}

/// What a stream had at its beginning is nothing at all.
pub(crate) fn decode_progress(bytes: &[u8]) -> Result<Progress, Malformed> {
    if bytes.is_empty() {
        return Ok(Progress::default());
    }
    let mut input = Input::versioned(bytes)?;
    let flags = input.number()?;
    let retry = (flags & RETRY != 0).then(|| input.number()).transpose()?;
    let inner_id = (flags & INNER_ID != 0).then(|| input.bytes()).transpose()?;
    Ok(Progress { retry, inner_id: inner_id.map(<[u8]>::to_vec) })
}

impl Encoder {
    #[cfg(not(feature = "zstd"))]
    pub(crate) fn new(_: Encoding) -> Self {
        Self {}
    }

    #[cfg(feature = "zstd")]
    pub(crate) fn new(encoding: Encoding) -> Self {
        // Where zstd refuses, what is stored is as it is sent.
        Self { compressor: encoding.compression.and_then(|level| Compressor::new(level).ok()) }
    }

    /// A piece for a store.
    pub(crate) fn piece(&mut self, piece: StoredPiece) -> Piece {
        match piece {
            StoredPiece::Hole { first, count, reason } => Piece::hole(first, count, reason),
            StoredPiece::Events { first, count, frames, inner_ids } => {
                let mut out = BytesMut::with_capacity(1 + frames.len());
                if inner_ids.is_empty() {
                    out.put_u8(PLAIN);
                } else {
                    out.put_u8(WITH_IDS);
                    put_number(&mut out, inner_ids.len() as u64);
                    for (offset, id) in &inner_ids {
                        put_number(&mut out, offset - first);
                        put_bytes(&mut out, id);
                    }
                }
                out.extend_from_slice(&frames);
                Piece::events(first, count, self.compressed(out.freeze()))
            }
        }
    }

    #[cfg(not(feature = "zstd"))]
    #[expect(clippy::unused_self, reason = "with compression it is used")]
    fn compressed(&mut self, bytes: Bytes) -> Bytes {
        bytes
    }

    /// Compressed, if that is shorter.
    #[cfg(feature = "zstd")]
    fn compressed(&mut self, bytes: Bytes) -> Bytes {
        let Some(compressor) = &mut self.compressor else { return bytes };
        let Ok(short) = compressor.compress(&bytes) else { return bytes };
        if short.len() + 6 >= bytes.len() {
            return bytes;
        }
        let mut out = BytesMut::with_capacity(6 + short.len());
        out.put_u8(COMPRESSED);
        put_number(&mut out, bytes.len() as u64);
        out.extend_from_slice(&short);
        out.freeze()
    }
}

/// A piece of a store.
pub(crate) fn decode_piece(piece: Piece) -> Result<StoredPiece, Malformed> {
    let Piece { first, count, content } = piece;
    let bytes = match content {
        Content::Hole(reason) => return Ok(StoredPiece::Hole { first, count, reason }),
        Content::Events(bytes) => decompressed(bytes)?,
    };
    let mut inner_ids = Vec::new();
    let at = match bytes.first() {
        Some(&PLAIN) => 1,
        Some(&WITH_IDS) => {
            let mut input = Input(&bytes[1..]);
            for _ in 0..input.number()? {
                let offset = first.checked_add(input.number()?).ok_or(Malformed)?;
                inner_ids.push((offset, input.bytes()?.into()));
            }
            bytes.len() - input.0.len()
        }
        _ => return Err(Malformed),
    };
    Ok(StoredPiece::Events { first, count, frames: bytes.slice(at..), inner_ids })
}

#[cfg(not(feature = "zstd"))]
#[expect(clippy::unnecessary_wraps, reason = "it may fail with compression")]
fn decompressed(bytes: Bytes) -> Result<Bytes, Malformed> {
    Ok(bytes)
}

#[cfg(feature = "zstd")]
fn decompressed(bytes: Bytes) -> Result<Bytes, Malformed> {
    if bytes.first() != Some(&COMPRESSED) {
        return Ok(bytes);
    }
    let mut input = Input(&bytes[1..]);
    let len = usize::try_from(input.number()?).map_err(|_| Malformed)?;
    if len > LARGEST_PIECE {
        return Err(Malformed);
    }
    zstd::bulk::decompress(input.0, len).map(Bytes::from).map_err(|_| Malformed)
}

/// What is said to be larger is malformed: no memory is asked for it.
#[cfg(feature = "zstd")]
const LARGEST_PIECE: usize = 1 << 30;

fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn versioned(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes {
            [VERSION, rest @ ..] => Ok(Self(rest)),
            _ => Err(Malformed),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        self.take(len)
    }

    fn page(&mut self) -> Result<Page, Malformed> {
        let bytes = self.take(8)?.try_into().map_err(|_| Malformed)?;
        Ok(Page(u64::from_be_bytes(bytes)))
    }

    fn fingerprint(&mut self) -> Result<u128, Malformed> {
        let bytes = self.take(16)?.try_into().map_err(|_| Malformed)?;
        Ok(u128::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resume::GapReason;

    fn origin(owner: Option<u128>, exchange: Option<Vec<u8>>, page: Option<u64>) -> StoredOrigin {
        let mut headers = HeaderMap::new();
        headers.append("vary", HeaderValue::from_static("origin"));
        headers.append("vary", HeaderValue::from_bytes(b"\xe4").unwrap());
        let binding = Binding { target: u128::MAX - 1, owner, session: Some(7) };
        let (inner_id, page) = (Some(b"12".to_vec()), page.map(Page));
        let (is_shared, repeatable) = (true, false);
        StoredOrigin { binding, is_shared, repeatable, inner_id, headers, exchange, page }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for origin in [
            origin(None, None, None),
            origin(Some(1), Some(vec![0; 300]), Some(0)),
            origin(None, None, Some(u64::MAX)),
        ] {
            assert_eq!(StoredOrigin::decode(&origin.encode()), Ok(origin));
        }
        let progress = Progress { retry: Some(u64::MAX), inner_id: Some(b"x".to_vec()) };
        for progress in [progress, Progress::default()] {
            assert_eq!(decode_progress(&encode_progress(&progress)), Ok(progress));
        }
        assert_eq!(decode_progress(b""), Ok(Progress::default()));
    }

    #[test]
    fn a_piece_keeps_the_inner_ids_that_its_frames_do_not_have() {
        let frames = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
        for inner_ids in [vec![], vec![(200, Box::from(*b"long")), (201, Box::from(*b""))]] {
            let frames = frames.clone();
            let piece = StoredPiece::Events { first: 200, count: 2, frames, inner_ids };
            let encoded = Encoder::new(Encoding::default()).piece(piece.clone());
            assert_eq!((encoded.first, encoded.count), (200, 2));
            assert_eq!(decode_piece(encoded), Ok(piece));
        }
        let hole = StoredPiece::Hole { first: 1, count: 3, reason: GapReason::Oversize };
        assert_eq!(decode_piece(Encoder::new(Encoding::default()).piece(hole.clone())), Ok(hole));
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn a_compressed_piece_is_shorter_and_read_without_being_told() {
        let frames = Bytes::from(b"data: again and again\n\n".repeat(50));
        let piece = StoredPiece::Events { first: 1, count: 50, frames, inner_ids: vec![] };
        let mut encoder = Encoder::new(Encoding { compression: Some(3) });
        let encoded = encoder.piece(piece.clone());
        assert!(encoded.bytes() < 200);
        assert_eq!(encoder.piece(piece.clone()), encoded, "it needs none of those before it");
        assert_eq!(decode_piece(encoded), Ok(piece));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let versioned: Vec<u8> = [VERSION].into_iter().chain(bytes.iter().copied()).collect();
            for bytes in [bytes, versioned] {
                let _ = StoredOrigin::decode(&bytes);
                let _ = decode_progress(&bytes);
                let _ = decode_piece(Piece::events(u64::MAX - 1, 1, bytes));
            }
        }
    }
}
