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
