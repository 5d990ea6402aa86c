//! The memory for large answers and lines. All windows that are read side by side share it, so that what
//! a run needs does not grow with their number.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::Held;

/// Bytes of a unit of the budget: a semaphore counts in 32 bits.
const UNIT: usize = 1 << 10;

/// A number of bytes that may be taken. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    total: u32,
}

impl MemoryBudget {
    /// Creates a budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let total = units(bytes);
        Self {
            free: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    /// Waits until so many bytes are free, or all if that is less, and takes them. Requests are served
    /// in their order. A holder must not wait for another reservation.
    pub async fn take(&self, bytes: usize) -> Reservation {
        let wanted = units(bytes).min(self.total);
        // The semaphore is never closed.
        Reservation(self.free.clone().acquire_many_owned(wanted).await.ok())
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// Bytes that were taken. They are given back when it is dropped.
#[derive(Debug)]
pub struct Reservation(Option<OwnedSemaphorePermit>);

impl Reservation {
    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            let excess = permit.num_permits().saturating_sub(units(bytes) as usize);
            drop(permit.split(excess));
        }
    }

    /// Keeps the bytes as long as a page.
    pub fn into_held(self) -> Held {
        Held::new(self)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_taken_comes_back_when_it_is_not_used_or_held_any_more() {
        let budget = MemoryBudget::new(10 * UNIT);
        let is_free = |bytes| budget.take(bytes).now_or_never().is_some();
        let mut first = budget.take(usize::MAX).now_or_never().unwrap();
        assert!(!is_free(1));
        first.shrink_to(3 * UNIT + 1);
        assert!(is_free(6 * UNIT) && !is_free(6 * UNIT + 1));
        first.shrink_to(usize::MAX);
        let held = first.into_held();
        let other = held.clone();
        drop(held);
        assert!(!is_free(7 * UNIT));
        drop(other);
        assert!(is_free(10 * UNIT));
    }
}
