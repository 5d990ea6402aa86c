//! A thing that is kept as long as a page is in memory.

use std::any::Any;
use std::sync::Arc;

/// Something that is dropped together with a page, such as the right to the memory that it takes.
#[derive(Debug, Clone, Default)]
pub struct Held {
    _thing: Option<Arc<dyn Any + Send + Sync>>,
}

impl Held {
    /// Keeps a thing.
    pub fn new(thing: impl Any + Send + Sync) -> Self {
        Self {
            _thing: Some(Arc::new(thing)),
        }
    }
}
