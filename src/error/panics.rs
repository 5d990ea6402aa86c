//! Panics as errors.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::{Error, Result};

/// Waits for `call` and turns a panic of it into an [`Error::Internal`], so that a defect fails one
/// window or one call and not the process.
pub(crate) async fn without_panics<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = AssertUnwindSafe(call).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(Error::from_panic(&*panic)))
}

#[cfg(test)]
#[allow(clippy::panic, reason = "what is tested")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_with_its_text() {
        let fixed = async { panic!("no digits") };
        let formatted = async { panic!("{} digits", 7) };
        let without_text = async { std::panic::panic_any(7) };
        for (outcome, text) in [
            (without_panics::<()>(fixed).await, "no digits"),
            (without_panics::<()>(formatted).await, "7 digits"),
            (without_panics::<()>(without_text).await, "panic"),
        ] {
            assert!(matches!(outcome, Err(Error::Internal(said)) if said == text));
        }
    }

    #[tokio::test]
    async fn a_panic_after_a_pause_is_an_internal_error() {
        let call = async {
            tokio::task::yield_now().await;
            panic!("late")
        };
        assert!(
            matches!(without_panics::<()>(call).await, Err(Error::Internal(text)) if text == "late")
        );
    }
}
