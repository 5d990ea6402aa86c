//! The body of an answer as it arrives, within a limit: an answer is a stranger's, and may be a
//! compressed bomb or have no end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

use crate::port::{Endpoint, Held, MemoryBudget, Reservation};

/// Largest answer of the token endpoint. Intuit's have about 1 KB.
const MAX_TOKEN_ANSWER: usize = 64 << 10;
/// Largest body of an answer that is no success. What a fault says stands at its beginning.
const MAX_FAULT: usize = 256 << 10;

/// Bytes of an answer that take no memory from the budget of all answers: ordinary pages arrive, and
/// are stored, side by side.
const MAX_UNRESERVED: usize = 2 << 20;

/// The limits of the answers of one transport.
#[derive(Debug, Clone)]
pub(super) struct AnswerLimit {
    /// Bytes of one answer with data.
    max_answer: usize,
    /// Bytes of all answers that are being received.
    arriving: Arc<AtomicUsize>,
    /// Memory of large answers, from their arrival until they are stored: one of the largest, and half
    /// of one.
    budget: MemoryBudget,
}

/// Reason why no more of an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The fault has said what it has to say; its status counts.
    Fault,
    /// The answer is larger than this many bytes.
    TooLarge(usize),
    /// All answers that arrive at the moment are together larger than this many bytes.
    TooManyLarge(usize),
}

impl AnswerLimit {
    pub(super) fn new(max_answer: usize) -> Self {
        Self {
            max_answer,
            arriving: Arc::default(),
            budget: MemoryBudget::new(max_answer + max_answer / 2),
        }
    }

    /// Returns an empty body for an answer with this status.
    pub(super) fn body(&self, endpoint: Endpoint, status: u16) -> AnswerBody {
        let is_fault = !(200..300).contains(&status);
        let max = match (endpoint, is_fault) {
            (Endpoint::Token, _) => MAX_TOKEN_ANSWER,
            (Endpoint::Data, true) => MAX_FAULT,
            (Endpoint::Data, false) => self.max_answer,
        };
        AnswerBody {
            limit: self.clone(),
            max,
            is_fault,
            is_read_to_limit: is_fault || endpoint == Endpoint::Token,
            received: BytesMut::new(),
            reservation: None,
        }
    }
}

/// The part of a body that has arrived.
#[derive(Debug)]
pub(super) struct AnswerBody {
    limit: AnswerLimit,
    max: usize,
    is_fault: bool,
    /// Its beginning is of use although the rest is too much: tokens may stand in it.
    is_read_to_limit: bool,
    received: BytesMut,
    reservation: Option<Reservation>,
}

impl AnswerBody {
    /// Notes the length that a header announces, which may be wrong. Refuses one that is too large
    /// before anything is read, unless its beginning is of use.
    pub(super) fn expect(&mut self, length: u64) -> Result<(), Full> {
        /// Cap of the buffer that is allocated because of a header.
        const MAX_INITIAL_BUFFER: u64 = 4 << 20;

        if length > self.max as u64 && !self.is_read_to_limit {
            return Err(Full::TooLarge(self.max));
        }
        let buffer = length.min(MAX_INITIAL_BUFFER) as usize;
        self.received.reserve(buffer.min(self.max));
        Ok(())
    }

    /// Waits until there is memory for a chunk. An answer that becomes large takes as much as the largest
    /// needs, so that it waits only once.
    pub(super) async fn make_room(&mut self, chunk: usize) {
        let needed = self.received.len() + chunk;
        if needed > MAX_UNRESERVED && self.max > MAX_UNRESERVED && self.reservation.is_none() {
            self.reservation = Some(self.limit.budget.take(self.max).await);
            // Once, so that nothing is copied while it grows. Only what is written takes memory.
            self.received.reserve(self.max - self.received.len());
        }
    }

    /// Adds a chunk, or as much of it as the limit allows.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Full> {
        let taken = chunk.len().min(self.max - self.received.len());
        let arriving = self.limit.arriving.fetch_add(taken, Ordering::Relaxed) + taken;
        self.received.extend_from_slice(&chunk[..taken]);
        // Two of the largest, or many ordinary ones.
        let max_arriving = self.limit.max_answer.saturating_mul(2);
        match taken < chunk.len() {
            true if self.is_fault => Err(Full::Fault),
            true => Err(Full::TooLarge(self.max)),
            false if arriving > max_arriving => Err(Full::TooManyLarge(max_arriving)),
            false => Ok(()),
        }
    }

    /// Returns what has arrived.
    pub(super) fn take(&mut self) -> Bytes {
        self.release();
        std::mem::take(&mut self.received).freeze()
    }

    /// Returns what has arrived, and its memory.
    pub(super) fn take_and_hold(&mut self) -> (Bytes, Held) {
        let reservation = self.reservation.take().map(|mut reservation| {
            reservation.shrink_to(self.received.len());
            reservation.into_held()
        });
        (self.take(), reservation.unwrap_or_default())
    }

    fn release(&self) {
        let length = self.received.len();
        self.limit.arriving.fetch_sub(length, Ordering::Relaxed);
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_body_ends_at_its_limit() {
        let limit = AnswerLimit::new(1000);
        let full = |endpoint, status, length| {
            let mut body = limit.body(endpoint, status);
            let end = body.push(&vec![b' '; length]);
            (end, body.take().len())
        };
        assert_eq!(full(Endpoint::Data, 200, 1000), (Ok(()), 1000));
        assert_eq!(
            full(Endpoint::Data, 200, 1001),
            (Err(Full::TooLarge(1000)), 1000)
        );
        assert_eq!(
            full(Endpoint::Token, 200, 65_537),
            (Err(Full::TooLarge(65_536)), 65_536)
        );
        let limit = AnswerLimit::new(64 << 20);
        let mut body = limit.body(Endpoint::Data, 503);
        assert_eq!(body.push(&[b'<'; 256 << 10]), Ok(()));
        assert_eq!(body.push(b"<"), Err(Full::Fault));
        assert_eq!(limit.body(Endpoint::Data, 503).expect(u64::MAX), Ok(()));
        let too_large = Err(Full::TooLarge(64 << 20));
        assert_eq!(limit.body(Endpoint::Data, 200).expect(u64::MAX), too_large);
        for status in [200, 503] {
            let mut body = limit.body(Endpoint::Token, status);
            assert_eq!(body.expect(u64::MAX), Ok(()));
        }
    }

    #[test]
    fn answers_that_arrive_at_a_time_share_a_limit_and_give_it_back() {
        let limit = AnswerLimit::new(1000);
        let chunk = [b' '; 700];
        let push = || {
            let mut body = limit.body(Endpoint::Data, 200);
            (body.push(&chunk), body)
        };
        let (first, one) = push();
        let (second, mut two) = push();
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(push().0, Err(Full::TooManyLarge(2000)));
        drop(one);
        assert_eq!(two.take().len(), 700);
        drop(two);
        assert_eq!(limit.arriving.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_answers_take_turns_until_they_are_stored_and_ordinary_ones_do_not_wait() {
        let limit = AnswerLimit::new(64 << 20);
        let arrives = |length: usize| {
            let mut body = limit.body(Endpoint::Data, 200);
            body.make_room(length).now_or_never()?;
            body.push(&vec![b' '; length]).unwrap();
            Some(body.take_and_hold())
        };
        let (body, held) = arrives(40 << 20).unwrap();
        assert_eq!(body.len(), 40 << 20);
        // Its memory is its own until its page is stored, although the body may be gone before.
        drop(body);
        assert!(arrives(3 << 20).is_none());
        assert!(arrives(MAX_UNRESERVED).is_some());
        drop(held);
        let several: Option<Vec<_>> = (0..10).map(|_| arrives(3 << 20)).collect();
        assert!(several.is_some());
        assert!(arrives(3 << 20).is_some(), "30 of 96 MB are taken");
        // A fault is never large.
        let mut fault = limit.body(Endpoint::Data, 503);
        assert!(fault.make_room(64 << 20).now_or_never().is_some());
    }
}
