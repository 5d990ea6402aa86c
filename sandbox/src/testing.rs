//! Settings of this crate's property tests.

use proptest::test_runner::Config;

/// Returns a configuration of `usual` cases, or of `PROPTEST_CASES` where that is set: `make soak`
/// asks for more.
pub(crate) fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    Config {
        cases: asked.unwrap_or(usual),
        ..Config::default()
    }
}
