//! The query language (qbo-facts 2.3): from a statement's text to the rows of an answer.

mod evaluate;
mod filter;
mod lexer;
mod order;
mod parser;

pub(super) use self::evaluate::{Reading, answer};
pub(super) use self::parser::{Statement, parse};
