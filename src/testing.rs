//! What unit tests share.

use proptest::test_runner::Config;

/// This many cases, or as many as `PROPTEST_CASES` says: `make soak` asks for more.
pub(crate) fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    Config {
        cases: asked.unwrap_or(usual),
        ..Config::default()
    }
}
