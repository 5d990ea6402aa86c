//! What outlives a process besides records and their ledger: tokens, and the state that processes
//! share.

pub mod shared_state;
pub mod token_store;
