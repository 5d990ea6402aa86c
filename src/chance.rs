//! Chance in the core: the jitter of waits, and ids that nothing else has. A simulation draws both
//! from its seed. Secrets do not come from here.

use uuid::Uuid;

/// Returns a number that is uniform in `[0, 1)`.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that draws numbers"
)]
pub(crate) fn fraction() -> f64 {
    #[cfg(test)]
    if let Some(drawn) = crate::simulation::draw() {
        return (drawn >> 11) as f64 / (1u64 << 53) as f64;
    }
    rand::random()
}

/// Returns an id that no other call returns.
#[allow(clippy::disallowed_methods, reason = "the one place that draws ids")]
pub(crate) fn unique_id() -> Uuid {
    #[cfg(test)]
    if let Some((high, low)) = crate::simulation::draw().zip(crate::simulation::draw()) {
        return Uuid::from_u64_pair(high, low);
    }
    Uuid::new_v4()
}
