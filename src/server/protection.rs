//! The protection of a connection until its answer is written.
//!
//! An answer is complete when its handler returns, but hyper writes it later, as fast as its client
//! reads. hyper drops the body as soon as it has buffered the last part, and flushes the connection
//! when the buffer is empty. So the body holds the protection, and the flush ends it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::places::{Place, Protected};

/// Returns an answer whose body holds the protection of its connection.
pub(super) fn holding(answer: Response, protected: Option<Protected>) -> Response {
    match protected {
        Some(protected) => answer.map(|body| {
            Body::new(ProtectedBody {
                body,
                _protected: protected,
            })
        }),
        None => answer,
    }
}

struct ProtectedBody {
    body: Body,
    _protected: Protected,
}

impl HttpBody for ProtectedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its place when everything is written.
pub(super) struct PlacedStream<S> {
    stream: Pin<Box<S>>,
    place: Arc<Place>,
}

impl<S> PlacedStream<S> {
    /// Returns the stream of the connection that has the place.
    pub(super) fn new(stream: S, place: Arc<Place>) -> Self {
        let stream = Box::pin(stream);
        Self { stream, place }
    }
}

impl<S: AsyncRead> AsyncRead for PlacedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl<S: AsyncWrite> AsyncWrite for PlacedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.as_mut().poll_flush(context);
        if flushed.is_ready() {
            self.place.written();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, parts)
    }
}
