//! Connections that faults can break.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::bomb;
use crate::faults::Delivery;

/// The time for the head of a request, and for the pause between two. Longer than clients keep connections that they
/// do not use, so that none is closed under a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Waits for the next connection.
pub(super) async fn accept(listener: &TcpListener) -> Connection {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Otherwise small answers would wait for the client's acknowledgement.
                let _ = stream.set_nodelay(true);
                return Connection {
                    stream,
                    handle: ConnectionHandle::default(),
                };
            }
            // Most likely the process has too many open files, which passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A handle that can break one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionHandle {
    is_reset: Arc<AtomicBool>,
}

/// The number of bytes between two pauses of a slow delivery.
const TRICKLE_BYTES: usize = 64;

impl ConnectionHandle {
    /// Resets the connection on its next write.
    pub(super) fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
    }

    /// Returns a response whose body is delivered with a fault.
    pub(super) fn deliver(&self, head: Response<()>, body: Bytes, delivery: Delivery) -> Response {
        let length = body.len();
        let body = match delivery {
            Delivery::Endless => return bomb::endless(head, body),
            Delivery::GzipBomb { mb } => return bomb::compressed(head, &body, mb),
            Delivery::Announced { mb } => return bomb::announced(head, body, mb),
            Delivery::Whole => Body::from(body),
            Delivery::Truncated => {
                let part = body.slice(..length / 2);
                let end = stream::once(async {
                    // The first half must be sent before the error; an immediate error would send
                    // nothing at all.
                    tokio::task::yield_now().await;
                    Err(io::Error::from(io::ErrorKind::ConnectionReset))
                });
                Body::from_stream(stream::iter([Ok(part)]).chain(end))
            }
            Delivery::Trickling { bytes_per_s } => {
                let pause =
                    Duration::from_secs_f64(TRICKLE_BYTES as f64 / bytes_per_s.max(1) as f64);
                let chunks = stream::unfold(body, move |mut rest| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    tokio::time::sleep(pause).await;
                    let chunk = rest.split_to(TRICKLE_BYTES.min(rest.len()));
                    Some((Ok::<_, io::Error>(chunk), rest))
                });
                Body::from_stream(chunks)
            }
        };
        let mut response = head.map(|()| body);
        // The length of the whole body, so that the client notices a part of it.
        response
            .headers_mut()
            .insert("content-length", length.into());
        response
    }
}

/// A TCP connection that its handle can break.
pub(super) struct Connection {
    stream: TcpStream,
    handle: ConnectionHandle,
}

impl Connection {
    /// Answers the requests of the connection until it ends, each with `answer`.
    pub(super) async fn converse<F>(self, answer: impl Fn(ConnectionHandle, Request) -> F)
    where
        F: Future<Output = Response>,
    {
        let handle = self.handle.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let answered = answer(handle.clone(), request.map(Body::new));
            async move { Ok::<_, Infallible>(answered.await) }
        });
        // `axum::serve` has no time limit for heads.
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        // A broken connection affects no other.
        let _ = server.serve_connection(TokioIo::new(self), service).await;
    }

    /// Closes the connection if its handle was told to reset it.
    fn check_reset(&self) -> io::Result<()> {
        if !self.handle.is_reset.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Without lingering, the client sees a reset and not an orderly end.
        let _ = self.stream.set_zero_linger();
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_reset()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_reset()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The clock jumps to the next time limit whenever nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_or_half_a_head_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let connection = accept(&listener).await;
                let answer = connection.converse(|_, _| async { Response::new("whole".into()) });
                tokio::spawn(answer);
            }
        });
        let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for (said, answered) in [("", ""), (&request[..20], ""), (request, "whole")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut text = String::new();
            let ended = stream.read_to_string(&mut text);
            let ended = tokio::time::timeout(Duration::from_secs(600), ended).await;
            assert!(ended.is_ok(), "{said:?}");
            assert!(text.ends_with(answered), "{text}");
        }
    }
}
