//! Numbers that look random but depend on their input alone, so that every run is the same.

/// Returns a 64-bit hash of a number: the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014).
pub(crate) fn hash(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Returns a 32-bit hash of a record's id. Records that changed in the same second are ordered by
/// it.
pub(crate) fn hash_id(id: &str) -> u32 {
    id.bytes()
        .fold(17u64, |state, byte| hash(state ^ u64::from(byte))) as u32
}
