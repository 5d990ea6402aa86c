//! Shared configuration of unit tests.

use proptest::test_runner::Config;

/// Configures a property test with `default` cases. `PROPTEST_CASES` overrides the number; `make soak`
/// uses more.
pub(crate) fn cases(default: u32) -> Config {
    let requested = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    Config {
        cases: requested.unwrap_or(default),
        ..Config::default()
    }
}
