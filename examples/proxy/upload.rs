//! A request body that is read to its end even when the upstream no longer takes it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::timeout;

/// An upstream may answer (413, 401) without reading the request. If the proxy stopped reading too, it would have to
/// close the connection under a client that is still sending, and many clients then never see that answer.
pub(crate) struct Upload<B>
where
    B: Body + Send + Unpin + 'static,
{
    body: Option<B>,
}

/// For the rest of a request that nobody wants.
const PATIENCE: Duration = Duration::from_secs(5);

impl<B> Upload<B>
where
    B: Body + Send + Unpin + 'static,
{
    pub(crate) fn new(body: B) -> Self {
        Self { body: Some(body).filter(|body| !body.is_end_stream()) }
    }
}

impl<B> Body for Upload<B>
where
    B: Body + Send + Unpin + 'static,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Upload<B>
where
    B: Body + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            tokio::spawn(timeout(PATIENCE, discard(body)));
        }
    }
}

async fn discard<B>(mut body: B)
where
    B: Body + Unpin,
{
    while let Some(Ok(_)) = body.frame().await {}
}
