//! The refresh tokens that a refresh may try: stored, replaced, and set by a person.

use super::Authorizer;
use crate::port::{Connection, Secret};
use crate::quickbooks::oauth::lifetime::fingerprint;

impl Authorizer {
    /// Returns the refresh tokens to try, the most likely one first. A token that a person has set after
    /// the stored one was refused comes before it.
    pub(super) fn candidates(&self, known: Option<&Connection>) -> Vec<Secret> {
        let configured = self.configured.clone();
        let Some(known) = known else {
            return configured.into_iter().collect();
        };
        let is_new = self.has_new_token(known);
        let stored = [
            Some(known.refresh_token.clone()),
            known.previous_refresh_token.clone(),
        ];
        let order = match is_new && known.needs_reauth.is_some() {
            true => [configured, stored[0].clone(), stored[1].clone()],
            false => [
                stored[0].clone(),
                configured.filter(|_| is_new),
                stored[1].clone(),
            ],
        };
        let mut candidates: Vec<Secret> = Vec::new();
        // The configured token comes last: most likely it was replaced long ago.
        for candidate in order.into_iter().flatten().chain(self.configured.clone()) {
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        candidates
    }

    /// Returns true if the configured token is not the one that the stored connection began with.
    pub(super) fn has_new_token(&self, known: &Connection) -> bool {
        self.configured
            .as_ref()
            .is_some_and(|token| known.seed.as_deref() != Some(&fingerprint(token)))
    }
}
