//! The properties that are masked.

use std::sync::Arc;

use super::Settings;
use crate::domain::Mask;
use crate::error::Result;

impl Settings {
    /// Returns the masked properties, those of `QBO_MASK`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error) about `QBO_MASK` or `QBO_MASK_KEY`.
    pub fn mask(&self) -> Result<Arc<Mask>> {
        let rules = self.text("QBO_MASK");
        let key = self.secret("QBO_MASK_KEY");
        let key = key.as_ref().map(crate::port::Secret::expose);
        Mask::parse(&rules, key).map(Arc::new)
    }
}
