//! Masking of webhooks. Intuit's events name records by their ids and hold nothing else of them; this
//! keeps it true for whatever else may come.

use ring::digest::{SHA256, digest};

use super::{Mask, hex};
use crate::domain::Delivery;

const TEXT_LEFT_OUT: &str = "left out, because properties are masked (QBO_MASK)";

impl Delivery {
    /// Returns the delivery without masked properties, and without the texts of what is no event.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        if mask.is_empty() {
            return self;
        }
        for event in &mut self.events {
            if let Some(masked) = mask.anywhere(event.event.as_bytes()) {
                event.event = String::from_utf8_lossy(&masked).into();
            }
        }
        for part in &mut self.unreadable {
            let whole = [part.text.as_bytes(), part.digest.as_bytes()].concat();
            part.digest = hex(digest(&SHA256, &whole).as_ref());
            part.text = TEXT_LEFT_OUT.to_owned();
            // The reason may quote a value.
            part.reason = "it is no event; why is left out as well".to_owned();
        }
        self
    }
}
