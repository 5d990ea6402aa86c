//! Parts that several requests share.

use crate::sink::postgres::DEFAULT_SCHEMA;

/// Declares builder-style setters for the public fields of a request.
macro_rules! setters {
    ($request:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        impl $request {
            $(
                #[doc = concat!("Sets [`Self::", stringify!($field), "`].")]
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+
        }
    };
}
pub(super) use setters;

/// Turns names of any text type into owned ones.
pub(super) fn owned(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

pub(super) fn default_schema() -> String {
    DEFAULT_SCHEMA.to_owned()
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use crate::app::{BackfillRequest, ExtractRequest, LoadRequest, SyncRequest};

    fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_request_leaves_out_is_the_default_of_the_command_line() {
        let range = json!({"start": "2025-01-01", "end": "2026-01-01T00:00:00Z"});
        let request: BackfillRequest =
            read(json!({"entities": ["items"], "range": range.clone()})).unwrap();
        let expected = BackfillRequest::new(["items"], request.range);
        assert_eq!(format!("{request:?}"), format!("{expected:?}"));
        let request: ExtractRequest =
            read(json!({"entities": ["items"], "windows": [range], "page_size": 7})).unwrap();
        assert_eq!(request.page_size.get(), 7);
        let request: SyncRequest = read(json!({"accounts": ["9"], "page_size": "8"})).unwrap();
        assert_eq!(
            (&request.scope.accounts[..], request.page_size.get()),
            (&["9".to_owned()][..], 8)
        );
        let file = json!({
            "path": "x.jsonl", "realm_id": "9", "entity": "items",
            "start": "2025-01-01", "end": "2025-01-02",
        });
        let request: LoadRequest = read(json!({"files": [file]})).unwrap();
        assert_eq!(request.schema, "raw");
    }

    #[test]
    fn an_argument_that_is_wrong_or_unknown_is_named() {
        let backfill = |name: &str, value: serde_json::Value| {
            let mut request = json!({
                "entities": ["items"],
                "range": {"start": "2025-01-01", "end": "2026-01-01"},
            });
            request[name] = value;
            read::<BackfillRequest>(request).unwrap_err()
        };
        for (name, value, text) in [
            (
                "chunk",
                json!("fortnight"),
                "chunk: unknown chunk 'fortnight'",
            ),
            ("page_size", json!(1001), "page_size: 1001 is not between"),
            (
                "range",
                json!({"start": "2026-01-01", "end": "2025-01-01"}),
                "end: '2025-01-01' is not after start '2026-01-01'",
            ),
            ("colour", json!("blue"), "unknown field `colour`"),
        ] {
            let error = backfill(name, value);
            assert!(error.starts_with(text), "{error}");
        }
        let error = read::<SyncRequest>(json!({"realms": ["9"]})).unwrap_err();
        assert!(error.starts_with("unknown field `realms`"), "{error}");
    }
}
