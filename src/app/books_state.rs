//! The last tie-outs, for the page and the metrics of the service.

use super::Service;
use crate::error::Result;
use crate::store::{TieOut, latest_tie_outs};

impl Service {
    /// Returns the last comparison of each company's books with its reports.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn tie_outs(&self) -> Result<Vec<TieOut>> {
        latest_tie_outs(&self.db, None).await
    }
}
