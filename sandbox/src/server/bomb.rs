//! Answers that are larger than any client should read.

use std::io;

use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::{Compress, Compression, FlushCompress};
use futures_util::{StreamExt as _, stream};

const MEGABYTE: usize = 1 << 20;

/// Returns a response whose body goes on with blanks and never ends.
pub(super) fn endless(head: Response<()>, body: Bytes) -> Response {
    let blanks = Bytes::from(vec![b' '; MEGABYTE / 16]);
    let chunks = stream::iter([body]).chain(stream::repeat(blanks));
    head.map(|()| Body::from_stream(chunks.map(Ok::<_, io::Error>)))
}

/// Returns a response whose body goes on with megabytes of blanks, and whose head says how long it is.
pub(super) fn announced(head: Response<()>, body: Bytes, mb: u64) -> Response {
    let length = body.len() as u64 + mb.saturating_mul(MEGABYTE as u64);
    let blanks = Bytes::from(vec![b' '; MEGABYTE]);
    let megabytes = usize::try_from(mb).unwrap_or(usize::MAX);
    let chunks = stream::iter([body]).chain(stream::repeat(blanks).take(megabytes));
    let mut response = head.map(|()| Body::from_stream(chunks.map(Ok::<_, io::Error>)));
    let headers = response.headers_mut();
    headers.insert("content-length", length.into());
    response
}

/// Returns a response whose body goes on with megabytes of blanks, compressed to a thousandth.
///
/// A block that ends with a full flush begins and ends with a byte and refers to nothing before it
/// (RFC 1951, zlib's manual), so one block can be repeated.
pub(super) fn compressed(head: Response<()>, body: &[u8], mb: u64) -> Response {
    // Member header of RFC 1952: deflate, no name, no time.
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    // An empty last block, then sums that are wrong: no client reads a bomb to its end.
    const END: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let start = [&HEAD[..], &block(body)].concat();
    let blanks = Bytes::from(block(&vec![b' '; MEGABYTE]));
    let megabytes = usize::try_from(mb).unwrap_or(usize::MAX);
    let chunks = stream::iter([Bytes::from(start)])
        .chain(stream::repeat(blanks).take(megabytes))
        .chain(stream::iter([Bytes::from_static(&END)]));
    let mut response = head.map(|()| Body::from_stream(chunks.map(Ok::<_, io::Error>)));
    let gzip = axum::http::HeaderValue::from_static("gzip");
    response.headers_mut().insert("content-encoding", gzip);
    response
}

fn block(data: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(data.len() + 1024);
    // Memory is enough for data that cannot be compressed, and its end.
    let _ = deflate.compress_vec(data, &mut out, FlushCompress::Full);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn blocks_can_be_repeated() {
        let packed = [block(b"{}"), block(b"  "), block(b"  "), vec![3, 0]].concat();
        let mut unpacked = String::new();
        let mut reader = flate2::read::DeflateDecoder::new(&packed[..]);
        reader.read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, "{}    ");
        assert!(block(&vec![b' '; MEGABYTE]).len() < MEGABYTE / 500);
    }
}
