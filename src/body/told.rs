//! An event stream that passes unrecorded, after what its client has to be told.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use crate::error::BoxError;
use crate::pass;

/// U+FEFF in UTF-8. Clients ignore one at the very start of an event stream, and this is not at its start.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

pin_project! {
    pub(super) struct Told<B> {
        due: Option<Bytes>,
        // How much of a byte order mark the body began with; `None` once that is decided.
        mark: Option<usize>,
        #[pin]
        body: B,
    }
}

impl<B> Told<B> {
    pub(super) fn new(due: Bytes, body: B) -> Self {
        Self { due: Some(due), mark: Some(0), body }
    }
}

impl<B> Told<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(due) = this.due.take() {
            return Poll::Ready(Some(Ok(Frame::data(due))));
        }
        loop {
            let frame = match ready!(pass::poll_frame(this.body.as_mut(), cx)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => {
                    let data = without_mark(data, this.mark);
                    if this.mark.is_none() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }
}

/// The data without a byte order mark, of which `mark` bytes came before; nothing while it may still become one.
fn without_mark(data: Bytes, mark: &mut Option<usize>) -> Bytes {
    let Some(before) = *mark else { return data };
    let expected = &BYTE_ORDER_MARK[before..];
    if let Some(rest) = data.strip_prefix(expected) {
        *mark = None;
        return data.slice_ref(rest);
    }
    if expected.starts_with(&data) {
        *mark = Some(before + data.len());
        return Bytes::new();
    }
    *mark = None;
    if before == 0 {
        return data;
    }
    let mut all = BytesMut::from(&BYTE_ORDER_MARK[..before]);
    all.extend_from_slice(&data);
    all.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a body that comes in these pieces.
    fn passed(pieces: &[&'static [u8]]) -> Vec<u8> {
        let mut mark = Some(0);
        let data = |piece: &&'static [u8]| without_mark(Bytes::from_static(piece), &mut mark);
        pieces.iter().map(data).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_byte_order_mark_is_left_out_however_it_comes() {
        assert_eq!(passed(&[b"\xEF\xBB\xBFdata: 1\n"]), b"data: 1\n");
        assert_eq!(passed(&[b"\xEF", b"", b"\xBB", b"\xBF", b"data: 1\n"]), b"data: 1\n");
        assert_eq!(passed(&[b"\xEF\xBB\xBF\xEF\xBB\xBF:\n"]), b"\xEF\xBB\xBF:\n");
    }

    #[test]
    fn what_only_begins_like_one_stays() {
        assert_eq!(passed(&[b"\xEF\xBB", b"\xBE:\n"]), b"\xEF\xBB\xBE:\n");
        assert_eq!(passed(&[b"data", b": \xEF\xBB\xBF\n"]), b"data: \xEF\xBB\xBF\n");
    }
}
